//! What must never be seen: passwords and mail.

mod content;
mod passwords;
