//! The NFS server: MOUNT and NFSv3 on a folder of this machine, with `nfs3_server`. Imports nothing of the cluster.

use std::collections::HashMap;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;
use std::vec::IntoIter;

use nfs3_server::fs_util::metadata_to_fattr3;
use nfs3_server::nfs3_types::nfs3::{createverf3, fattr3, filename3, nfspath3, nfsstat3, sattr3, stable_how};
use nfs3_server::tcp::NFSTcpListener;
use nfs3_server::vfs::{
    DirEntryPlus, FileHandleU64, NextResult, NfsFileSystem, NfsReadFileSystem, ReadDirPlusIterator, VFSCapabilities,
};

use super::container::lock;

pub(super) async fn listen(root: PathBuf, read_only: bool) -> io::Result<NFSTcpListener<Folder>> {
    let folder = Folder { read_only, paths: Mutex::new(HashMap::from([(ROOT, root)])) };
    let mut server = NFSTcpListener::bind("127.0.0.1:0", folder).await?;
    server.with_export_name("data");
    Ok(server)
}

pub(super) struct Folder {
    read_only: bool,
    /// By handle; handles are never reused.
    paths: Mutex<HashMap<u64, PathBuf>>,
}

const ROOT: u64 = 1;

type NfsResult<T> = Result<T, nfsstat3>;
type Handle = FileHandleU64;

impl Folder {
    fn path(&self, handle: Handle) -> NfsResult<PathBuf> {
        lock(&self.paths).get(&handle.as_u64()).cloned().ok_or(nfsstat3::NFS3ERR_BADHANDLE)
    }

    fn entry(&self, folder: Handle, name: &filename3<'_>) -> NfsResult<(PathBuf, Handle)> {
        let name = std::str::from_utf8(name.as_ref()).map_err(|_| nfsstat3::NFS3ERR_INVAL)?;
        let mut parts = Path::new(name).components();
        // Neither `..` nor a path, so clients cannot leave the export.
        let (Some(Component::Normal(_)), None) = (parts.next(), parts.next()) else {
            return Err(nfsstat3::NFS3ERR_ACCES);
        };
        let path = self.path(folder)?.join(name);
        let mut paths = lock(&self.paths);
        let known = paths.iter().find(|(_, known)| **known == path).map(|(handle, _)| *handle);
        let handle = known.unwrap_or(ROOT + paths.len() as u64);
        paths.insert(handle, path.clone());
        Ok((path, Handle::new(handle)))
    }
}

impl NfsReadFileSystem for Folder {
    type Handle = Handle;

    fn root_dir(&self) -> Handle {
        Handle::new(ROOT)
    }

    async fn lookup(&self, folder: &Handle, name: &filename3<'_>) -> NfsResult<Handle> {
        let (path, handle) = self.entry(*folder, name)?;
        metadata(&path).map(|_| handle)
    }

    async fn getattr(&self, handle: &Handle) -> NfsResult<fattr3> {
        let metadata = metadata(&self.path(*handle)?)?;
        Ok(metadata_to_fattr3(handle.as_u64(), &metadata))
    }

    async fn read(&self, handle: &Handle, offset: u64, count: u32) -> NfsResult<(Vec<u8>, bool)> {
        let mut file = File::open(self.path(*handle)?).map_err(status)?;
        let size = file.metadata().map_err(status)?.len();
        file.seek(SeekFrom::Start(offset)).map_err(status)?;
        let mut data = Vec::new();
        file.take(u64::from(count)).read_to_end(&mut data).map_err(status)?;
        let is_end = offset + data.len() as u64 >= size;
        Ok((data, is_end))
    }

    async fn readdirplus(&self, folder: &Handle, cookie: u64) -> NfsResult<impl ReadDirPlusIterator<Handle>> {
        let entries = fs::read_dir(self.path(*folder)?).map_err(status)?;
        let mut names: Vec<_> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
        names.sort();
        let mut list = Vec::new();
        for (cookie, name) in (1..).zip(names).skip(usize::try_from(cookie).unwrap_or(usize::MAX)) {
            let name = filename3::from(name.into_bytes());
            let (path, handle) = self.entry(*folder, &name)?;
            // An entry removed since the listing has no attributes.
            let attributes = metadata(&path).ok().map(|metadata| metadata_to_fattr3(handle.as_u64(), &metadata));
            let (name_handle, fileid) = (Some(handle), handle.as_u64());
            list.push(DirEntryPlus { fileid, name, cookie, name_attributes: attributes, name_handle });
        }
        Ok(Entries(list.into_iter()))
    }

    async fn readlink(&self, _: &Handle) -> NfsResult<nfspath3<'_>> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }
}

impl NfsFileSystem for Folder {
    fn capabilities(&self) -> VFSCapabilities {
        if self.read_only { VFSCapabilities::ReadOnly } else { VFSCapabilities::ReadWrite }
    }

    async fn setattr(&self, _: &Handle, _: sattr3) -> NfsResult<fattr3> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn write(
        &self,
        handle: &Handle,
        offset: u64,
        data: &[u8],
        stable: stable_how,
    ) -> NfsResult<(fattr3, stable_how)> {
        let mut file = OpenOptions::new().write(true).open(self.path(*handle)?).map_err(status)?;
        file.seek(SeekFrom::Start(offset)).and_then(|_| file.write_all(data)).map_err(status)?;
        Ok((self.getattr(handle).await?, stable))
    }

    async fn create(&self, folder: &Handle, name: &filename3<'_>, _: sattr3) -> NfsResult<(Handle, fattr3)> {
        let (path, handle) = self.entry(*folder, name)?;
        OpenOptions::new().write(true).create(true).truncate(false).open(&path).map_err(status)?;
        Ok((handle, self.getattr(&handle).await?))
    }

    async fn create_exclusive(&self, _: &Handle, _: &filename3<'_>, _: createverf3) -> NfsResult<Handle> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn mkdir(&self, _: &Handle, _: &filename3<'_>) -> NfsResult<(Handle, fattr3)> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn remove(&self, folder: &Handle, name: &filename3<'_>) -> NfsResult<()> {
        fs::remove_file(self.entry(*folder, name)?.0).map_err(status)
    }

    async fn rename<'a>(&self, from: &Handle, old: &filename3<'a>, to: &Handle, new: &filename3<'a>) -> NfsResult<()> {
        let ((old, _), (new, _)) = (self.entry(*from, old)?, self.entry(*to, new)?);
        fs::rename(old, new).map_err(status)
    }

    async fn symlink<'a>(
        &self,
        _: &Handle,
        _: &filename3<'a>,
        _: &nfspath3<'a>,
        _: &sattr3,
    ) -> NfsResult<(Handle, fattr3)> {
        Err(nfsstat3::NFS3ERR_NOTSUPP)
    }

    async fn commit(&self, handle: &Handle, _: u64, _: u32) -> NfsResult<()> {
        // No sync to disk: the folder does not outlive the simulation, and a busy disk would delay everything.
        metadata(&self.path(*handle)?).map(drop)
    }
}

struct Entries(IntoIter<DirEntryPlus<Handle>>);

impl ReadDirPlusIterator<Handle> for Entries {
    async fn next(&mut self) -> NextResult<DirEntryPlus<Handle>> {
        self.0.next().map_or(NextResult::Eof, NextResult::Ok)
    }
}

fn metadata(path: &Path) -> NfsResult<Metadata> {
    fs::symlink_metadata(path).map_err(status)
}

#[allow(clippy::needless_pass_by_value, reason = "passed to map_err")]
fn status(error: io::Error) -> nfsstat3 {
    match error.kind() {
        ErrorKind::NotFound => nfsstat3::NFS3ERR_NOENT,
        ErrorKind::PermissionDenied => nfsstat3::NFS3ERR_ACCES,
        ErrorKind::StorageFull => nfsstat3::NFS3ERR_NOSPC,
        _ => nfsstat3::NFS3ERR_IO,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_the_folder_has_a_handle() {
        let folder = Folder { read_only: false, paths: Mutex::new(HashMap::from([(ROOT, "/data".into())])) };
        let entry = |name: &'static [u8]| folder.entry(folder.root_dir(), &filename3::from(name)).map(|(path, _)| path);
        assert_eq!(entry(b"file"), Ok(PathBuf::from("/data/file")));
        for outside in [&b"../outside"[..], b"..", b"a/b", b"/etc"] {
            assert_eq!(entry(outside), Err(nfsstat3::NFS3ERR_ACCES));
        }
    }
}
