use tokio::task::JoinError;

/// Runs blocking work where it stalls nobody.
pub(crate) async fn off_thread<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    joined(tokio::task::spawn_blocking(work)).await
}

/// What a task has made; a panic in it goes on here.
pub(crate) async fn joined<T>(task: impl Future<Output = Result<T, JoinError>>) -> T {
    match task.await {
        Ok(done) => done,
        Err(stopped) => match stopped.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime shuts down: nobody waits for the answer any more.
            Err(_) => std::future::pending().await,
        },
    }
}
