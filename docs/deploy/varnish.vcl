# A cache node before cauce: Varnish 6 or 7, for /live only. What differs from place to place is marked
# "yours". docs/cdn.md says why each line is there; the tests start exactly this file.
vcl 4.1;

backend cauce {
    .host = "127.0.0.1";                    # yours: the origin
    .port = "8080";                         # yours
    .connect_timeout = 2s;
    .first_byte_timeout = 15s;
    .between_bytes_timeout = 15s;
}

sub vcl_recv {
    if (req.url !~ "^/live/") {
        return (synth(404));
    }
    # Query strings, cookies and logins mean nothing under /live.
    set req.url = regsub(req.url, "\?.*$", "");
    unset req.http.Cookie;
    unset req.http.Authorization;
    if (req.method != "GET" && req.method != "HEAD") {
        return (pass);
    }
    return (hash);
}

sub vcl_hash {
    # One site, whatever it is called.
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_response {
    if (beresp.status >= 500) {
        # An error is nobody else's answer, and is forgotten at once: by default the next two minutes of
        # this address would pass uncollapsed.
        set beresp.uncacheable = true;
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
        return (deliver);
    }
    if (bereq.url !~ "\.ts$" || beresp.status != 200) {
        # Nothing of a playlist is served beyond its max-age: by default it would be for 10 s. It is kept
        # to ask whether it has changed. The same for what is not there yet.
        set beresp.grace = 0s;
        set beresp.keep = 10s;
    }
    return (deliver);
}
