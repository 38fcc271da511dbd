//! Git over HTTP: that the token is sent, and where it is not.
