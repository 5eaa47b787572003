//! The simulated NFS server: MOUNT and NFSv3 on a folder of this machine, by `nfs3_server`. Knows folders and connections,
//! not the cluster.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::net::SocketAddr;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec::IntoIter;

use futures::FutureExt;
use nfs3_server::fs_util::{metadata_to_fattr3, path_setattr};
use nfs3_server::nfs3_types::nfs3::{createverf3, fattr3, filename3, nfspath3, nfsstat3, sattr3, stable_how};
use nfs3_server::tcp::{NFSTcp, NFSTcpListener};
use nfs3_server::vfs::{
    DirEntryPlus, FileHandleU64, NextResult, NfsFileSystem, NfsReadFileSystem, ReadDirPlusIterator, VFSCapabilities,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::sim;

/// The longest call that is read only to be refused.
const LONGEST: usize = 1 << 16;
/// A reply of MOUNT, after its number: accepted, without a verifier, successful, `MNT3ERR_ACCES`.
const REFUSED: [u32; 6] = [1, 0, 0, 0, 0, 13];
/// The bit of a fragment's header that says that it is the last.
const LAST: u32 = 1 << 31;
/// The refusal's header: of these words and the number.
const HEADER: u32 = LAST | 0x1c;

/// What becomes of the server's clients.
pub(super) enum Service {
    /// They are served a folder under a name; one that is read-only cannot be written to.
    Folder {
        /// Where it is on this machine.
        folder: PathBuf,
        /// What clients mount.
        export: String,
        /// Whether nothing can be written.
        read_only: bool,
        /// Whether those on ports from 1024 on may not mount it.
        secure: bool,
        /// What ends at a client's second call, the first of NFS; `None`: nothing.
        ends: Option<Ends>,
    },
    /// They get no answer.
    Silent,
}

/// What ends at a client's first request of NFS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ends {
    /// Its connection.
    Connection,
    /// The server, as unfs3 without `-s` that may not become another user.
    Server,
}

/// Serves whoever connects, for ever; `is_privileged` says of a client whether it is on a port below 1024.
///
/// # Errors
/// No second port can be had, or a client's request ended the server.
pub(super) async fn serve(
    listener: TcpListener,
    service: Service,
    is_privileged: impl Fn(SocketAddr) -> bool,
) -> io::Result<()> {
    // A listener of its own behind ours: the library's connections outlive whoever waits for them, ours do not.
    let mut tasks = JoinSet::new();
    let port = match &service {
        Service::Folder { folder, export, read_only, .. } => {
            let folder =
                Folder { root: folder.clone(), read_only: *read_only, paths: Mutex::new(vec![PathBuf::new()]) };
            let mut server = NFSTcpListener::bind("127.0.0.1:0", folder).await?;
            server.with_export_name(export);
            let port = server.get_listen_port();
            tasks.spawn(async move { drop(server.handle_forever().await) }.boxed());
            port
        }
        Service::Silent => 0,
    };
    let state = Arc::new((service, Notify::new()));
    let served = sim::serve(listener, |client| {
        let state = Arc::clone(&state);
        let is_low = client.peer_addr().is_ok_and(&is_privileged);
        // Whoever closes the connection knows why.
        async move { drop(attend(client, &state.0, port, is_low, &state.1).await) }
    });
    tokio::select! {
        () = served => Ok(()),
        () = state.1.notified() => Err(io::Error::other("euid/egid switching failed, aborting")),
    }
}

async fn attend(mut client: TcpStream, service: &Service, port: u16, is_low: bool, aborted: &Notify) -> io::Result<()> {
    match service {
        Service::Silent => drop(tokio::io::copy(&mut client, &mut sink()).await?),
        Service::Folder { secure: true, .. } if !is_low => loop {
            let call = call(&mut client).await?;
            let words = [&HEADER.to_be_bytes(), &call[..4]].concat();
            client.write_all(&[words, REFUSED.map(u32::to_be_bytes).concat()].concat()).await?;
        },
        Service::Folder { ends, .. } => {
            let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
            server.set_nodelay(true)?;
            client.set_nodelay(true)?;
            let Some(ends) = ends else {
                return copy_bidirectional(&mut client, &mut server).await.map(drop);
            };
            let first = call(&mut client).await?;
            let header = u32::try_from(first.len()).unwrap_or_default() | LAST;
            server.write_all(&[header.to_be_bytes().as_slice(), &first].concat()).await?;
            let (mut asks, mut gets) = client.split();
            tokio::select! {
                answered = tokio::io::copy(&mut server, &mut gets) => drop(answered?),
                second = asks.read_u8() => {
                    second?;
                    if *ends == Ends::Server {
                        aborted.notify_one();
                    }
                }
            }
        }
    }
    Ok(())
}

/// The next call.
async fn call(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = client.read_u32().await? & !LAST;
    let mut call = vec![0; usize::try_from(length).map_or(LONGEST, |length| length.clamp(4, LONGEST))];
    client.read_exact(&mut call).await?;
    Ok(call)
}

/// A folder, as a file system. A handle is a place in `paths`: what had it once, has it for ever.
struct Folder {
    root: PathBuf,
    read_only: bool,
    /// Relative to the root.
    paths: Mutex<Vec<PathBuf>>,
}

type Answer<T> = Result<T, nfsstat3>;
type Handle = FileHandleU64;

impl Folder {
    fn paths(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.paths.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a handle's file is; zero is nobody's number.
    fn path(&self, handle: Handle) -> Answer<PathBuf> {
        let index = usize::try_from(handle.as_u64()).ok().and_then(|number| number.checked_sub(1));
        let path = index.and_then(|index| self.paths().get(index).cloned());
        path.map(|path| self.root.join(path)).ok_or(nfsstat3::NFS3ERR_BADHANDLE)
    }

    /// Where a name in a folder is, and its handle.
    fn entry(&self, folder: Handle, name: &filename3<'_>) -> Answer<(PathBuf, Handle)> {
        let name = std::str::from_utf8(name.as_ref()).map_err(|_| nfsstat3::NFS3ERR_INVAL)?;
        let mut parts = Path::new(name).components();
        // Nothing outside the folder, and no way up.
        let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            return Err(nfsstat3::NFS3ERR_ACCES);
        };
        let path = self.path(folder)?.join(name);
        let relative = path.strip_prefix(&self.root).map_err(|_| nfsstat3::NFS3ERR_ACCES)?;
        let mut paths = self.paths();
        let index = paths.iter().position(|known| known == relative).unwrap_or_else(|| {
            paths.push(relative.to_owned());
            paths.len() - 1
        });
        drop(paths);
        Ok((path, Handle::new(index as u64 + 1)))
    }

    fn attributes(&self, handle: Handle) -> Answer<fattr3> {
        let metadata = metadata(&self.path(handle)?)?;
        Ok(metadata_to_fattr3(handle.as_u64(), &metadata))
    }

    fn is_writable(&self) -> Answer<()> {
        if self.read_only { Err(nfsstat3::NFS3ERR_ROFS) } else { Ok(()) }
    }
}

impl NfsReadFileSystem for Folder {
    type Handle = Handle;

    fn root_dir(&self) -> Handle {
        Handle::new(1)
    }

    async fn lookup(&self, folder: &Handle, name: &filename3<'_>) -> Answer<Handle> {
        let (path, handle) = self.entry(*folder, name)?;
        metadata(&path).map(|_| handle)
    }

    async fn getattr(&self, handle: &Handle) -> Answer<fattr3> {
        self.attributes(*handle)
    }

    async fn read(&self, handle: &Handle, offset: u64, count: u32) -> Answer<(Vec<u8>, bool)> {
        let mut file = File::open(self.path(*handle)?).map_err(status)?;
        let size = file.metadata().map_err(status)?.len();
        file.seek(SeekFrom::Start(offset)).map_err(status)?;
        let mut data = Vec::new();
        file.take(u64::from(count)).read_to_end(&mut data).map_err(status)?;
        let is_end = offset + data.len() as u64 >= size;
        Ok((data, is_end))
    }

    async fn readdirplus(&self, folder: &Handle, cookie: u64) -> Answer<impl ReadDirPlusIterator<Handle>> {
        let entries = fs::read_dir(self.path(*folder)?).map_err(status)?;
        let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let mut list = Vec::new();
        for (cookie, name) in (1..).zip(names).skip(usize::try_from(cookie).unwrap_or(usize::MAX)) {
            let name = filename3::from(name.into_bytes());
            let (path, handle) = self.entry(*folder, &name)?;
            // One that has just vanished is listed without attributes.
            let attributes = metadata(&path).ok().map(|metadata| metadata_to_fattr3(handle.as_u64(), &metadata));
            let (name_handle, fileid) = (Some(handle), handle.as_u64());
            list.push(DirEntryPlus { fileid, name, cookie, name_attributes: attributes, name_handle });
        }
        Ok(List(list.into_iter()))
    }

    async fn readlink(&self, _: &Handle) -> Answer<nfspath3<'_>> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }
}

impl NfsFileSystem for Folder {
    fn capabilities(&self) -> VFSCapabilities {
        if self.read_only { VFSCapabilities::ReadOnly } else { VFSCapabilities::ReadWrite }
    }

    async fn setattr(&self, handle: &Handle, attributes: sattr3) -> Answer<fattr3> {
        self.is_writable()?;
        path_setattr(&self.path(*handle)?, &attributes).await?;
        self.attributes(*handle)
    }

    async fn write(
        &self,
        handle: &Handle,
        offset: u64,
        data: &[u8],
        stable: stable_how,
    ) -> Answer<(fattr3, stable_how)> {
        self.is_writable()?;
        let mut file = OpenOptions::new().write(true).open(self.path(*handle)?).map_err(status)?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(data)).map_err(status)?;
        Ok((self.attributes(*handle)?, stable))
    }

    async fn create(&self, folder: &Handle, name: &filename3<'_>, attributes: sattr3) -> Answer<(Handle, fattr3)> {
        self.is_writable()?;
        let (path, handle) = self.entry(*folder, name)?;
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(status)?;
        path_setattr(&path, &attributes).await?;
        Ok((handle, self.attributes(handle)?))
    }

    async fn create_exclusive(&self, folder: &Handle, name: &filename3<'_>, _: createverf3) -> Answer<Handle> {
        self.is_writable()?;
        let (path, handle) = self.entry(*folder, name)?;
        File::create_new(path).map_err(status)?;
        Ok(handle)
    }

    async fn mkdir(&self, folder: &Handle, name: &filename3<'_>) -> Answer<(Handle, fattr3)> {
        self.is_writable()?;
        let (path, handle) = self.entry(*folder, name)?;
        fs::create_dir(path).map_err(status)?;
        Ok((handle, self.attributes(handle)?))
    }

    async fn remove(&self, folder: &Handle, name: &filename3<'_>) -> Answer<()> {
        self.is_writable()?;
        let (path, _) = self.entry(*folder, name)?;
        let is_folder = metadata(&path)?.is_dir();
        if is_folder { fs::remove_dir(path) } else { fs::remove_file(path) }.map_err(status)
    }

    async fn rename<'a>(&self, from: &Handle, old: &filename3<'a>, to: &Handle, new: &filename3<'a>) -> Answer<()> {
        self.is_writable()?;
        let ((old, _), (new, _)) = (self.entry(*from, old)?, self.entry(*to, new)?);
        fs::rename(old, new).map_err(status)
    }

    async fn symlink<'a>(
        &self,
        _: &Handle,
        _: &filename3<'a>,
        _: &nfspath3<'a>,
        _: &sattr3,
    ) -> Answer<(Handle, fattr3)> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn commit(&self, handle: &Handle, _: u64, _: u32) -> Answer<()> {
        self.is_writable()?;
        // Not to the disk: the folder does not outlive the simulation, and a busy disk would hold up all of it.
        metadata(&self.path(*handle)?).map(drop)
    }
}

/// What is left of a folder's list.
struct List(IntoIter<DirEntryPlus<Handle>>);

impl ReadDirPlusIterator<Handle> for List {
    async fn next(&mut self) -> NextResult<DirEntryPlus<Handle>> {
        self.0.next().map_or(NextResult::Eof, NextResult::Ok)
    }
}

fn metadata(path: &Path) -> Answer<Metadata> {
    fs::symlink_metadata(path).map_err(status)
}

/// The status for an error of this machine.
#[allow(clippy::needless_pass_by_value, reason = "handed to map_err")]
fn status(error: io::Error) -> nfsstat3 {
    match error.kind() {
        ErrorKind::NotFound => nfsstat3::NFS3ERR_NOENT,
        ErrorKind::AlreadyExists => nfsstat3::NFS3ERR_EXIST,
        ErrorKind::NotADirectory => nfsstat3::NFS3ERR_NOTDIR,
        ErrorKind::IsADirectory => nfsstat3::NFS3ERR_ISDIR,
        ErrorKind::DirectoryNotEmpty => nfsstat3::NFS3ERR_NOTEMPTY,
        ErrorKind::PermissionDenied => nfsstat3::NFS3ERR_ACCES,
        ErrorKind::StorageFull => nfsstat3::NFS3ERR_NOSPC,
        _ => nfsstat3::NFS3ERR_IO,
    }
}

#[cfg(test)]
mod tests {
    use nfs3_client::nfs3_types::mount::{dirpath, mountstat3};
    use nfs3_client::nfs3_types::nfs3::{CREATE3args, Nfs3Result, createhow3, diropargs3, nfs_fh3};
    use nfs3_client::nfs3_types::xdr_codec::Opaque;
    use nfs3_client::tokio::TokioIo;
    use nfs3_client::{MountClient, MountError, Nfs3Client};

    use super::*;

    async fn server(service: Service) -> (JoinSet<()>, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(serve(listener, service, |_| false).await) });
        (tasks, address)
    }

    /// Mounts the export and makes files of these names; what came of each.
    async fn create(folder: &Path, read_only: bool, names: &[&str]) -> Vec<Result<(), nfsstat3>> {
        let (folder, export) = (folder.to_owned(), "data".to_owned());
        let service = Service::Folder { folder, export, read_only, secure: false, ends: None };
        let (_tasks, address) = server(service).await;
        let connect = || async { TokioIo::new(TcpStream::connect(address).await.unwrap()) };
        let path = dirpath(Opaque::borrowed(b"/data/sub"));
        let root = MountClient::new(connect().await).mnt(path).await.unwrap().fhandle.0;
        let mut client = Nfs3Client::new(connect().await);
        let mut all = Vec::new();
        for name in names {
            let where_ = diropargs3 { dir: nfs_fh3 { data: root.clone() }, name: name.as_bytes().into() };
            let arguments = CREATE3args { where_, how: createhow3::GUARDED(sattr3::default()) };
            all.push(match client.create(&arguments).await.unwrap() {
                Nfs3Result::Ok(_) => Ok(()),
                Nfs3Result::Err((status, _)) => Err(status),
            });
        }
        all
    }

    #[tokio::test]
    async fn a_folder_of_the_export_is_served_and_nothing_outside_it() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("sub")).unwrap();
        let names = ["file", "file", "../outside", "..", "a/b"];
        let [no, exists] = [Err(nfsstat3::NFS3ERR_ACCES), Err(nfsstat3::NFS3ERR_EXIST)];
        assert_eq!(create(folder.path(), false, &names).await, [Ok(()), exists, no, no, no]);
        assert!(folder.path().join("sub/file").exists() && !folder.path().join("outside").exists());
        assert_eq!(create(folder.path(), true, &["other"]).await, [Err(nfsstat3::NFS3ERR_ROFS)]);
    }

    #[tokio::test]
    async fn who_may_not_mount_is_told_so() {
        let (folder, export) = (PathBuf::from("/"), "data".to_owned());
        let secure = Service::Folder { folder, export, read_only: true, secure: true, ends: None };
        let (_tasks, address) = server(secure).await;
        let mut client = MountClient::new(TokioIo::new(TcpStream::connect(address).await.unwrap()));
        let refused = client.mnt(dirpath(Opaque::borrowed(b"/data"))).await.unwrap_err();
        assert!(matches!(refused, MountError::Denied(mountstat3::MNT3ERR_ACCES)), "{refused}");
    }
}
