//! /reset/?token=: the page that a mailed link opens, and what it sends. It does not know how the
//! token got there.

use super::{Api, Failure, Fields, Reply, Request, Text, account};

/// What the page may do: send its form back here, and nothing else.
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";
/// Longest token, characters; ours have 43.
const TOKEN_CHARS_MAX: usize = 100;

/// What the page says.
struct Words {
    language: &'static str,
    title: &'static str,
    label: &'static str,
    button: &'static str,
    done: &'static str,
    bad_token: &'static str,
    bad_password: &'static str,
}

const ENGLISH: Words = Words {
    language: "en",
    title: "Reset your password",
    label: "New password",
    button: "Set password",
    done: "Your new password is set.",
    bad_token: "This link was used already, or is too old.",
    bad_password: "The password must have 8 to 128 characters.",
};

const SPANISH: Words = Words {
    language: "es",
    title: "Restablece tu contraseña",
    label: "Nueva contraseña",
    button: "Guardar contraseña",
    done: "Tu nueva contraseña está guardada.",
    bad_token: "Este enlace ya se usó o es demasiado antiguo.",
    bad_password: "La contraseña debe tener de 8 a 128 caracteres.",
};

impl Words {
    /// In the first language of Accept-Language that the pages have: browsers send them in their order.
    fn of(request: &Request) -> &'static Self {
        let asked = request.accept_language.as_deref().unwrap_or_default();
        let mut languages = asked.split(',').map(|one| one.trim().get(..2));
        let known = languages.find_map(|language| match language {
            Some("es" | "ES") => Some(&SPANISH),
            Some("en" | "EN") => Some(&ENGLISH),
            _ => None,
        });
        known.unwrap_or(&ENGLISH)
    }
}

/// The form. The token goes on in the form's body and stands in no further URL.
pub(super) async fn form(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let words = Words::of(request);
    let token = request.query("token").unwrap_or_default();
    let works = token.len() <= TOKEN_CHARS_MAX && api.auth.can_reset(token).await?;
    if !works {
        return Ok(page(words, 400, &paragraph(words.bad_token)));
    }
    let form = format!(
        "<form method=\"post\" action=\"/reset/\">\
         <input type=\"hidden\" name=\"token\" value=\"{}\">\
         <p><label>{} <input type=\"password\" name=\"new_password\" \
         autocomplete=\"new-password\" minlength=\"8\" maxlength=\"128\" required></label></p>\
         <p><button>{}</button></p></form>",
        escape(token),
        words.label,
        words.button
    );
    Ok(page(words, 200, &form))
}

/// Sets the password: JSON in, JSON out; the page's form gets a page.
pub(super) async fn set(api: &Api, request: &Request) -> Result<Reply, Failure> {
    let done = change(api, request).await;
    let accept = request.accept.as_deref().unwrap_or_default();
    if !accept.contains("text/html") {
        return done;
    }
    let words = Words::of(request);
    match done {
        Ok(_) => Ok(page(words, 200, &paragraph(words.done))),
        Err(Failure::Fields(faults)) => {
            let lines: Vec<_> = faults
                .iter()
                .map(|(field, _)| match *field == "new_password" {
                    true => paragraph(words.bad_password),
                    false => paragraph(words.bad_token),
                })
                .collect();
            Ok(page(words, 400, &lines.concat()))
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

fn paragraph(text: &str) -> String {
    format!("<p>{text}</p>")
}

fn page(words: &Words, status: u16, content: &str) -> Reply {
    let Words {
        language, title, ..
    } = words;
    let page = format!(
        "<!doctype html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{title}</title>\
         <link rel=\"stylesheet\" href=\"/web/style.css\"></head>\
         <body><main><h1>{title}</h1>{content}</main></body></html>"
    );
    Reply::html(status, page)
        .header("content-language", *language)
        .header("vary", "Accept-Language")
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
