//! What libpq takes from around a connection string: variables, files in the home folder, the service file.

use std::path::{Path, PathBuf};

use super::{ConnectionParameters, InvalidServer, keywords, service_file};

/// Folders of Unix sockets that distributions build libpq with.
const SOCKET_FOLDERS: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// Folder of the system's service file, as Debian's libpq has it.
const SYSTEM_FOLDER: &str = "/etc/postgresql-common";

/// The `PG*` variables, and the folders where libpq looks for files.
#[derive(Debug, Clone, Default)]
pub struct LibpqEnvironment {
    parameters: ConnectionParameters,
    home: Option<PathBuf>,
    system_folder: PathBuf,
}

impl LibpqEnvironment {
    /// That of this process.
    #[must_use]
    pub fn current() -> Self {
        Self::new(|name| std::env::var(name).ok(), std::env::home_dir())
    }

    /// Of variables and a home folder.
    #[must_use]
    pub fn new(variable: impl Fn(&str) -> Option<String>, home: Option<PathBuf>) -> Self {
        let mut parameters = ConnectionParameters::default();
        for (keyword, name) in keywords::variables() {
            parameters.put(keyword, variable(name).unwrap_or_default());
        }
        let system_folder = variable("PGSYSCONFDIR").filter(|folder| !folder.is_empty());
        Self {
            parameters,
            home,
            system_folder: system_folder.map_or_else(|| SYSTEM_FOLDER.into(), PathBuf::from),
        }
    }

    /// The parameters that its variables set.
    #[must_use]
    pub fn variables(&self) -> &ConnectionParameters {
        &self.parameters
    }

    /// Whether it names a server: by `PGHOST`, `PGHOSTADDR` or `PGSERVICE`.
    #[must_use]
    pub fn names_a_server(&self) -> bool {
        let named = ["host", "hostaddr", "service"];
        named
            .iter()
            .any(|keyword| self.parameters.get(keyword).is_some())
    }

    /// `given`, and what it lacks: of the service that it or `PGSERVICE` names, then of the variables, then of the files in the
    /// home folder. The order is libpq's.
    ///
    /// # Errors
    /// When the service is not defined, or its file is malformed.
    pub fn complete(
        &self,
        given: ConnectionParameters,
    ) -> Result<ConnectionParameters, InvalidServer> {
        let of = |keyword| given.get(keyword).or(self.parameters.get(keyword));
        let service = match of("service") {
            Some(service) => service_file::find(service, &self.service_files(of("servicefile")))?,
            None => ConnectionParameters::default(),
        };
        let complete = given.or(service).or(self.parameters.clone());
        let complete = complete.or(self.home_files());
        Ok(complete.or(default_socket()))
    }

    fn service_files(&self, given: Option<&str>) -> Vec<PathBuf> {
        let own = match given {
            Some(path) => Some(PathBuf::from(path)),
            None => self.in_home(".pg_service.conf"),
        };
        let system = self.system_folder.join("pg_service.conf");
        own.into_iter().chain([system]).collect()
    }

    fn in_home(&self, name: &str) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(name))
    }

    /// Files that stand where libpq looks for them.
    fn home_files(&self) -> ConnectionParameters {
        let mut found = ConnectionParameters::default();
        let mut put = |keyword: &'static str, path: Option<PathBuf>| {
            if let Some(path) = path.filter(|path| path.exists()) {
                found.put(keyword, path.to_string_lossy().into_owned());
            }
        };
        put("passfile", self.in_home(".pgpass"));
        put("sslrootcert", self.in_home(".postgresql/root.crt"));
        let certificate = self.in_home(".postgresql/postgresql.crt");
        let key = self.in_home(".postgresql/postgresql.key");
        let both = [&certificate, &key];
        if both
            .iter()
            .all(|path| path.as_deref().is_some_and(Path::exists))
        {
            put("sslcert", certificate);
            put("sslkey", key);
        }
        found
    }
}

/// The Unix socket of this machine, for parameters without a host.
fn default_socket() -> ConnectionParameters {
    let mut socket = ConnectionParameters::default();
    let exists = |folder: &&str| Path::new(folder).exists();
    if let Some(folder) = SOCKET_FOLDERS.into_iter().find(exists) {
        socket.put("host", folder.to_owned());
    }
    socket
}
