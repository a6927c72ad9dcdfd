//! How a bid request comes to its handler: straight from its connection, past actix-web's routing.
//!
//! The App has all routes, the exchanges' among them, and answers whatever is not spelled as usual. A
//! bid request does without it: guards, extractors and boxed futures are seven allocations a request.

use crate::server::bid::bid;
use crate::server::engine::ExchangeDesk;
use crate::server::worker::Worker;
use actix_http::Request;
use actix_service::{IntoServiceFactory, Service, ServiceFactory, apply_fn_factory};
use actix_web::body::BoxBody;
use actix_web::dev::{AppConfig, Payload, Response, ServiceResponse};
use actix_web::http::Method;
use actix_web::{Error, HttpRequest, HttpResponse};
use futures_util::TryFutureExt;
use futures_util::future::Either;
use std::rc::Rc;

/// Where one exchange's bid requests come in on one worker.
#[derive(Clone)]
pub struct Door {
    /// Who answers them.
    pub worker: Rc<Worker>,
    /// Whose they are.
    pub desk: Rc<ExchangeDesk>,
}

impl Door {
    /// Answers a request that came by the App's routes.
    pub async fn routed(self, head: HttpRequest, payload: Payload) -> HttpResponse {
        bid(&self.worker, &self.desk, head.head(), payload).await
    }

    async fn straight(self, request: Request) -> Result<Response<BoxBody>, Error> {
        let (head, payload) = request.into_parts();
        Ok(bid(&self.worker, &self.desk, &head, payload).await.into())
    }
}

/// The App, and before it the doors at these paths.
pub fn before<F, App>(
    app: F,
    doors: Vec<(String, Door)>,
) -> impl ServiceFactory<
    Request,
    Config = AppConfig,
    Response = Response<BoxBody>,
    Error = Error,
    InitError = (),
    Service: Service<Request, Future: 'static> + 'static,
>
where
    F: IntoServiceFactory<App, Request>,
    App: ServiceFactory<
            Request,
            Config = AppConfig,
            Response = ServiceResponse,
            Error = Error,
            InitError = (),
            Service: Service<Request, Future: 'static> + 'static,
        > + 'static,
{
    // A worker has a few exchanges: looking through their paths is faster than a hash.
    let doors: Rc<[_]> = doors.into();
    apply_fn_factory(app, move |request: Request, app: &App::Service| {
        let is_its = |(path, _): &&(String, Door)| *path == request.path();
        match doors.iter().find(is_its).filter(|_| request.method() == Method::POST) {
            Some((_, door)) => Either::Left(door.clone().straight(request)),
            None => Either::Right(app.call(request).map_ok(Response::from)),
        }
    })
}
