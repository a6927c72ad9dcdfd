//! What a listener answers to what it does not have: a clear no for the sender, and a counter for the
//! operator, since an exchange whose path is mistyped is silent otherwise.

use crate::server::bid::refuse;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{FromRequest, Handler, Resource, Responder, Route, web};
use prometheus_client::metrics::counter::Counter;

/// Makes the resources of one listener, and counts what goes past them.
#[derive(Clone)]
pub struct Astray(Counter);

impl Astray {
    /// Of the listener whose requests `counter` counts.
    pub const fn new(counter: Counter) -> Self {
        Self(counter)
    }

    /// A path that is only read.
    pub fn get<F, Args>(&self, path: &str, handler: F) -> Resource
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.only(path, "GET", web::get().to(handler))
    }

    /// A path that is only written to.
    pub fn post<F, Args>(&self, path: &str, handler: F) -> Resource
    where
        F: Handler<Args>,
        Args: FromRequest + 'static,
        F::Output: Responder + 'static,
    {
        self.only(path, "POST", web::post().to(handler))
    }

    /// A path with one route, whose guard takes `methods`; more may be added to it.
    pub fn only(&self, path: &str, methods: &'static str, route: Route) -> Resource {
        web::resource(path).route(route).default_service(self.other_than(methods))
    }

    /// Answers paths that nobody listens at.
    pub fn nowhere(&self) -> Route {
        let counter = self.0.clone();
        web::to(move || {
            counter.inc();
            std::future::ready(refuse(StatusCode::NOT_FOUND, "there is no such path"))
        })
    }

    /// Answers an exchange that is not configured.
    pub fn unknown_exchange(&self) -> Route {
        let counter = self.0.clone();
        web::post().to(move || {
            counter.inc();
            std::future::ready(refuse(StatusCode::NOT_FOUND, "no such exchange is configured"))
        })
    }

    fn other_than(&self, methods: &'static str) -> Route {
        let counter = self.0.clone();
        web::to(move |method: Method| {
            counter.inc();
            let reason = format!("{method} is not taken here, but {methods}");
            let mut answer = refuse(StatusCode::METHOD_NOT_ALLOWED, &reason);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
            std::future::ready(answer)
        })
    }
}
