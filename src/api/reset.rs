//! /reset/?token=: the page that a mailed link opens, and what it sends. It does not know how the
//! token got there.

use super::{Api, Failure, Fields, Reply, Request, Text, account};

/// What the page may do: send its form back here, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// Longest token, characters; ours have 43.
const TOKEN_CHARS_MAX: usize = 100;

/// The form. The token goes on in the form's body and stands in no further URL.
pub(super) async fn form(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let token = request.query("token").unwrap_or_default();
    let works = token.len() <= TOKEN_CHARS_MAX && api.auth.can_reset(token).await?;
    if !works {
        return Ok(page(
            400,
            "<p>This link was used already, or is too old.</p>",
        ));
    }
    let form = format!(
        "<form method=\"post\" action=\"/reset/\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label>New password <input type=\"password\" name=\"new_password\" \
         autocomplete=\"new-password\" minlength=\"8\" maxlength=\"128\" required></label></p>\
         <p><button>Set password</button></p></form>",
        escape(token)
    );
    Ok(page(200, &form))
}

/// Sets the password: JSON in, JSON out; the page's form gets a page.
pub(super) async fn set(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let done = change(api, request).await;
    let accept = request.accept.as_deref().unwrap_or_default();
    if !accept.contains("text/html") {
        return done;
    }
    match done {
        Ok(_) => Ok(page(200, "<p>Your new password is set.</p>")),
        Err(Failure::Fields(faults)) => {
            let lines: Vec<_> = faults
                .iter()
                .map(|(_, words)| format!("<p>{}</p>", escape(words)))
                .collect();
            Ok(page(400, &lines.concat()))
        }
        Err(failure) => Err(failure),
    }
}

async fn change(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let mut fields = Fields::read(request)?;
    let token = match request.query("token") {
        Some(token) => token.to_owned(),
        None => fields.required("token", Text::line(TOKEN_CHARS_MAX)),
    };
    let password = account::new_password(&mut fields, "new_password");
    fields.finish()?;
    let short = token.len() <= TOKEN_CHARS_MAX;
    if !short || !api.auth.finish_reset(&token, &password).await? {
        let words = "The token was used already, is too old, or never existed.";
        return Err(Failure::field("token", words));
    }
    Ok(Reply::done("Password changed"))
}

fn page(status: u16, content: &str) -> Reply {
    let page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>Reset your password</title>\
         <link rel=\"stylesheet\" href=\"/web/style.css\"></head>\
         <body><main><h1>Reset your password</h1>{content}</main></body></html>"
    );
    Reply::html(status, page)
        .header("content-security-policy", POLICY)
        .header("x-frame-options", "DENY")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
