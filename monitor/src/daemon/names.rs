//! Names of containers, read as soon as their cgroups are created: `docker run --rm` may leave none at the tick.

use tokio::task;

use crate::{
    attribution::{Names, container_id},
    probe::Creations,
};

/// Reads them until the probe ends.
pub(super) async fn read(creations: Creations, names: Names) {
    let read = |paths: Vec<String>| {
        let ids: Vec<_> = paths.iter().filter_map(|path| container_id(path)).collect();
        let names = names.clone();
        async move {
            if !ids.is_empty() {
                // A panic there is logged, and what the tick reads is as good.
                let _ = task::spawn_blocking(move || {
                    ids.iter().for_each(|id| drop(names.name(id)));
                })
                .await;
            }
        }
    };
    if let Err(error) = creations.watch(read).await {
        tracing::warn!("the names of containers that end within a tick are not read: {error}");
    }
}
