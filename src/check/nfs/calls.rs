//! The MOUNT and NFSv3 calls of a session. Each checks its reply against the request.

use nfs3_client::nfs3_types::mount::{self, FHSIZE3, MOUNT_PROGRAM, dirpath, mountres3};
use nfs3_client::nfs3_types::nfs3::{
    COMMIT3args, COMMIT3resfail, COMMIT3resok, CREATE3args, CREATE3resfail, CREATE3resok, FSINFO3args, FSINFO3resfail,
    FSINFO3resok, GETATTR3args, GETATTR3resok, LOOKUP3args, LOOKUP3resfail, LOOKUP3resok, NFS_PROGRAM, Nfs3Option,
    READ3args, READ3resfail, READ3resok, READDIR3args, READDIR3resfail, READDIR3resok, READDIRPLUS3args,
    READDIRPLUS3resfail, READDIRPLUS3resok, REMOVE3args, REMOVE3resfail, REMOVE3resok, RENAME3args, RENAME3resfail,
    RENAME3resok, WRITE3args, WRITE3resfail, WRITE3resok, cookieverf3, createhow3, diropargs3, nfs_fh3, sattr3,
    stable_how,
};
use nfs3_client::nfs3_types::xdr_codec::{Opaque, Void};
use serde::{Deserialize, Serialize};

use super::failure::{CallResult, Cause, Failure};
use super::session::Session;

/// The most bytes per READ or WRITE: few, so that a file takes several calls, and that a call fits into one piece of a
/// port-forward, which is 4 KiB.
const CHUNK: u32 = 3584;
/// The most bytes per reply that lists a directory.
const PAGE: u32 = 32 << 10;
/// How often to start listing a directory that changes while it is listed.
const LIST_ATTEMPTS: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listed {
    /// The call that listed the name.
    Found(String),
    /// The name was missing among this many.
    Missing(usize),
    /// The directory changed during each attempt.
    Changing,
}

impl Session {
    pub async fn mount(&mut self, path: &str) -> CallResult<nfs_fh3> {
        let name = format!("MOUNT {path}");
        let number = [mount::PROGRAM, mount::VERSION, MOUNT_PROGRAM::MOUNTPROC3_MNT as u32];
        match self.call(&name, number, &dirpath(Opaque::borrowed(path.as_bytes()))).await? {
            mountres3::Ok(mounted) if mounted.fhandle.0.len() <= FHSIZE3 => Ok(nfs_fh3 { data: mounted.fhandle.0 }),
            mountres3::Ok(mounted) => {
                let seen = format!("{} bytes", mounted.fhandle.0.len());
                Err(Failure::invalid_reply(&name, format!("a file handle of at most {FHSIZE3} bytes"), seen))
            }
            mountres3::Err(status) => Err(Failure { call: name, cause: Cause::Refused(status.to_string()) }),
        }
    }

    /// The sizes for WRITE and READ calls, within the server's limits.
    pub async fn transfer_sizes(&mut self, root: &nfs_fh3) -> CallResult<[u32; 2]> {
        let arguments = FSINFO3args { fsroot: root.clone() };
        let info = self.nfs::<FSINFO3resok, FSINFO3resfail>(NFS_PROGRAM::NFSPROC3_FSINFO, &arguments).await?;
        // The server has survived its first request, MOUNT.
        self.turn = None;
        let sizes = [info.wtmax, info.rtmax];
        if sizes.contains(&0) {
            let seen = format!("wtmax {}, rtmax {}", info.wtmax, info.rtmax);
            return Err(Failure::invalid_reply("FSINFO", "transfer sizes above 0", seen));
        }
        Ok(sizes.map(|size| size.min(CHUNK)))
    }

    /// The file handle for a name; `None` if there is no such file, also if the server has cached the name of a
    /// removed one.
    pub async fn lookup(&mut self, folder: &nfs_fh3, name: &str) -> CallResult<Option<nfs_fh3>> {
        let arguments = LOOKUP3args { what: entry(folder, name) };
        let result = self.nfs::<LOOKUP3resok, LOOKUP3resfail>(NFS_PROGRAM::NFSPROC3_LOOKUP, &arguments).await;
        let Some(found) = none_if_gone(result)? else { return Ok(None) };
        if found.obj_attributes.is_none() {
            let arguments = GETATTR3args { object: found.object.clone() };
            let result = self.nfs::<GETATTR3resok, Void>(NFS_PROGRAM::NFSPROC3_GETATTR, &arguments).await;
            return Ok(none_if_gone(result)?.map(|_| found.object));
        }
        Ok(Some(found.object))
    }

    pub async fn create(&mut self, folder: &nfs_fh3, name: &str) -> CallResult<nfs_fh3> {
        let attributes = sattr3 { mode: Nfs3Option::Some(0o644), ..sattr3::default() };
        let arguments = CREATE3args { where_: entry(folder, name), how: createhow3::GUARDED(attributes) };
        let created = self.nfs::<CREATE3resok, CREATE3resfail>(NFS_PROGRAM::NFSPROC3_CREATE, &arguments).await?;
        // The file handle is optional in the reply.
        if let Nfs3Option::Some(handle) = created.obj {
            return Ok(handle);
        }
        let found = self.lookup(folder, name).await?;
        found.ok_or_else(|| Failure::invalid_reply("LOOKUP", "the file that CREATE created", "no such file"))
    }

    /// Writes a file's content and commits it; returns the number of WRITEs.
    pub async fn write(&mut self, file: &nfs_fh3, content: &[u8], size: u32) -> CallResult<u32> {
        let (mut written, mut calls) = (0, 0);
        while written < content.len() {
            let rest = &content[written..];
            let part = &rest[..rest.len().min(size as usize)];
            let arguments = WRITE3args {
                file: file.clone(),
                offset: written as u64,
                count: u32::try_from(part.len()).unwrap_or(size),
                stable: stable_how::UNSTABLE,
                data: Opaque::borrowed(part),
            };
            let reply = self.nfs::<WRITE3resok, WRITE3resfail>(NFS_PROGRAM::NFSPROC3_WRITE, &arguments).await?;
            let count = reply.count as usize;
            if count == 0 || count > part.len() {
                let expected = format!("a count of 1 to {}", part.len());
                return Err(Failure::invalid_reply("WRITE", expected, count.to_string()));
            }
            written += count;
            calls += 1;
        }
        let arguments = COMMIT3args { file: file.clone(), offset: 0, count: 0 };
        self.nfs::<COMMIT3resok, COMMIT3resfail>(NFS_PROGRAM::NFSPROC3_COMMIT, &arguments).await?;
        Ok(calls)
    }

    pub async fn read(&mut self, file: &nfs_fh3, content: &[u8], size: u32) -> CallResult<()> {
        let mut read = Vec::new();
        // One byte too many proves a difference.
        while read.len() <= content.len() {
            let arguments = READ3args { file: file.clone(), offset: read.len() as u64, count: size };
            let reply = self.nfs::<READ3resok, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &arguments).await?;
            if reply.data.len() > size as usize || (reply.data.is_empty() && !reply.eof) {
                let seen = format!("{} bytes, not the end of the file", reply.data.len());
                return Err(Failure::invalid_reply("READ", format!("1 to {size} bytes, or the end of the file"), seen));
            }
            read.extend_from_slice(&reply.data);
            if reply.eof {
                break;
            }
        }
        if read == content {
            return Ok(());
        }
        let same = read.iter().zip(content).take_while(|(read, written)| read == written).count();
        let seen = format!("{} bytes, of which the first {same} match", read.len());
        Err(Failure::invalid_reply("READ", format!("the {} bytes that were written", content.len()), seen))
    }

    /// Looks for a name in a directory with READDIRPLUS, or READDIR if the server lacks that, like a kernel client.
    pub async fn list(&mut self, folder: &nfs_fh3, name: &str) -> CallResult<Listed> {
        let mut plus = true;
        for _ in 0..LIST_ATTEMPTS {
            match self.list_once(folder, name, plus).await {
                Ok(listed) => return Ok(listed),
                // Old versions of unfs3 reply this.
                Err(failure) if plus && failure.status() == "NFS3ERR_NOTSUPP" => plus = false,
                Err(failure) if failure.status() == "NFS3ERR_BAD_COOKIE" => {}
                Err(failure) => return Err(failure),
            }
        }
        Ok(Listed::Changing)
    }

    async fn list_once(&mut self, folder: &nfs_fh3, name: &str, plus: bool) -> CallResult<Listed> {
        let (call, mut count) = (if plus { "READDIRPLUS" } else { "READDIR" }, 0);
        let (mut cookie, mut cookieverf) = (0, cookieverf3([0; 8]));
        loop {
            let dir = folder.clone();
            let (names, next, eof): (Vec<_>, _, _) = if plus {
                let arguments = READDIRPLUS3args { dir, cookie, cookieverf, dircount: PAGE / 4, maxcount: PAGE };
                let called = self.nfs::<_, READDIRPLUS3resfail>(NFS_PROGRAM::NFSPROC3_READDIRPLUS, &arguments);
                let READDIRPLUS3resok { reply, cookieverf, .. } = called.await?;
                let entries = reply.entries.0.into_iter();
                (entries.map(|entry| (entry.name, entry.cookie)).collect(), cookieverf, reply.eof)
            } else {
                let arguments = READDIR3args { dir, cookie, cookieverf, count: PAGE };
                let called = self.nfs::<_, READDIR3resfail>(NFS_PROGRAM::NFSPROC3_READDIR, &arguments);
                let READDIR3resok { reply, cookieverf, .. } = called.await?;
                let entries = reply.entries.0.into_iter();
                (entries.map(|entry| (entry.name, entry.cookie)).collect(), cookieverf, reply.eof)
            };
            cookieverf = next;
            if names.iter().any(|(own, _)| own.as_ref() == name.as_bytes()) {
                return Ok(Listed::Found(call.to_owned()));
            }
            count += names.len();
            match names.last() {
                _ if eof => return Ok(Listed::Missing(count)),
                Some((_, last)) => cookie = *last,
                None => return Err(Failure::invalid_reply(call, "names, or the end of the directory", "neither")),
            }
        }
    }

    pub async fn rename(&mut self, folder: &nfs_fh3, old: &str, new: &str) -> CallResult<()> {
        let arguments = RENAME3args { from: entry(folder, old), to: entry(folder, new) };
        self.nfs::<RENAME3resok, RENAME3resfail>(NFS_PROGRAM::NFSPROC3_RENAME, &arguments).await?;
        if self.lookup(folder, old).await?.is_some() {
            return Err(still_exists(old, "RENAME"));
        }
        let found = self.lookup(folder, new).await?;
        found.map(drop).ok_or_else(|| Failure::invalid_reply("LOOKUP", format!("{new} after RENAME"), "no such file"))
    }

    pub async fn remove(&mut self, folder: &nfs_fh3, name: &str) -> CallResult<()> {
        let arguments = REMOVE3args { object: entry(folder, name) };
        self.nfs::<REMOVE3resok, REMOVE3resfail>(NFS_PROGRAM::NFSPROC3_REMOVE, &arguments).await?;
        match self.lookup(folder, name).await? {
            None => Ok(()),
            Some(_) => Err(still_exists(name, "REMOVE")),
        }
    }
}

fn none_if_gone<T>(result: CallResult<T>) -> CallResult<Option<T>> {
    match result {
        Err(failure) if ["NFS3ERR_NOENT", "NFS3ERR_STALE"].contains(&failure.status()) => Ok(None),
        result => result.map(Some),
    }
}

fn still_exists(name: &str, call: &str) -> Failure {
    Failure::invalid_reply("LOOKUP", format!("no file handle for {name} after {call}"), "a file handle")
}

fn entry<'a>(folder: &nfs_fh3, name: &'a str) -> diropargs3<'a> {
    diropargs3 { dir: folder.clone(), name: name.as_bytes().into() }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::session;
    use super::*;

    fn handle() -> nfs_fh3 {
        nfs_fh3 { data: Opaque::borrowed(b"root") }
    }

    #[tokio::test]
    async fn hostile_replies_are_errors() {
        let is_wrong = |failure: Failure| assert!(matches!(failure.cause, Cause::Wrong(..)), "{failure:?}");
        for body in [vec![], vec![0], vec![0, u32::MAX], vec![0, 4, 1, u32::MAX], vec![0, 4, 1, 0, 7], vec![77]] {
            is_wrong(session(vec![body]).mount("/data").await.unwrap_err());
        }
        // No attributes, and four bytes without the end-of-file flag, repeatedly.
        let read = vec![0, 0, 4, 0, 4, 1];
        is_wrong(session(vec![read; 4]).read(&handle(), b"text", 4).await.unwrap_err());
        let nothing = vec![0, 0, 0, 0, 0];
        is_wrong(session(vec![nothing]).read(&handle(), b"text", 4).await.unwrap_err());
        // A count above the bytes sent, without attributes from before and after.
        let written = vec![0, 0, 0, 5, 2, 0, 0];
        is_wrong(session(vec![written]).write(&handle(), b"text", 4096).await.unwrap_err());
        // A list with neither names nor an end.
        let list = vec![0, 0, 0, 0, 0, 0];
        is_wrong(session(vec![list]).list(&handle(), "name").await.unwrap_err());
    }

    #[tokio::test]
    async fn a_cached_name_of_a_removed_file_does_not_exist() {
        // A file handle of four bytes, without attributes of file and directory; then GETATTR returns NFS3ERR_NOENT.
        let cached = vec![0, 4, 1, 0, 0];
        let mut session = session(vec![cached, vec![2], vec![2, 0], vec![13, 0]]);
        assert_eq!(session.lookup(&handle(), "name").await, Ok(None));
        assert_eq!(session.lookup(&handle(), "name").await, Ok(None));
        assert!(matches!(session.lookup(&handle(), "name").await.unwrap_err().cause, Cause::Refused(_)));
    }

    #[tokio::test]
    async fn a_server_without_readdirplus_gets_readdir() {
        // One entry: present, its file id, a name of 4 bytes, its cookie; then no further entry, and the end.
        let list = vec![0, 0, 0, 0, 1, 0, 9, 4, 0x6e61_6d65, 0, 1, 0, 1];
        let mut session = session(vec![vec![10004, 0], list.clone(), list]);
        assert_eq!(session.list(&handle(), "name").await, Ok(Listed::Found("READDIR".into())));
        assert_eq!(session.list_once(&handle(), "other", false).await, Ok(Listed::Missing(1)));
    }
}
