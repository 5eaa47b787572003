//! What is done in one NFS session: MOUNT and NFSv3 calls, each checked against what was asked for.

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

use super::session::Session;
use super::trouble::{Answer, Trouble, What, wrong};

/// How much is read or written with one call: small, so that a file takes several, and that a call goes in one piece through
/// a port-forward, which has 4 KiB for each.
const CHUNK: u32 = 3584;
const PAGE: u32 = 32 << 10;
/// How often a list is begun anew that changed while it was read.
const LISTS: usize = 5;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Listed {
    /// It is there; the call that found it.
    Found(String),
    /// It is not among so many names.
    Missing(usize),
    Changing,
}

impl Session {
    pub async fn mount(&mut self, path: &str) -> Answer<nfs_fh3> {
        let name = format!("MOUNT {path}");
        let number = [mount::PROGRAM, mount::VERSION, MOUNT_PROGRAM::MOUNTPROC3_MNT as u32];
        match self.call(&name, number, &dirpath(Opaque::borrowed(path.as_bytes()))).await? {
            mountres3::Ok(mounted) if mounted.fhandle.0.len() <= FHSIZE3 => Ok(nfs_fh3 { data: mounted.fhandle.0 }),
            mountres3::Ok(mounted) => {
                let seen = format!("one of {} bytes", mounted.fhandle.0.len());
                Err(wrong(&name, format!("a handle of at most {FHSIZE3} bytes"), seen))
            }
            mountres3::Err(status) => Err(Trouble { call: name, what: What::Refused(status.to_string()) }),
        }
    }

    /// What the server says of itself; returns how much it takes with one WRITE and gives with one READ.
    pub async fn sizes(&mut self, root: &nfs_fh3) -> Answer<[u32; 2]> {
        let arguments = FSINFO3args { fsroot: root.clone() };
        let info = self.nfs::<FSINFO3resok, FSINFO3resfail>(NFS_PROGRAM::NFSPROC3_FSINFO, &arguments).await?;
        // It has survived its first request, which was MOUNT.
        self.turn = None;
        let sizes = [info.wtmax, info.rtmax];
        if sizes.contains(&0) {
            let seen = format!("wtmax {}, rtmax {}", info.wtmax, info.rtmax);
            return Err(wrong("FSINFO", "sizes above 0", seen));
        }
        Ok(sizes.map(|size| size.min(CHUNK)))
    }

    /// The handle of a name; `None` if there is none, or if what it stands for is gone, as with a server that remembers names.
    pub async fn lookup(&mut self, folder: &nfs_fh3, name: &str) -> Answer<Option<nfs_fh3>> {
        let arguments = LOOKUP3args { what: entry(folder, name) };
        let looked = self.nfs::<LOOKUP3resok, LOOKUP3resfail>(NFS_PROGRAM::NFSPROC3_LOOKUP, &arguments).await;
        let Some(found) = unless_gone(looked)? else { return Ok(None) };
        if found.obj_attributes.is_none() {
            let arguments = GETATTR3args { object: found.object.clone() };
            let known = self.nfs::<GETATTR3resok, Void>(NFS_PROGRAM::NFSPROC3_GETATTR, &arguments).await;
            return Ok(unless_gone(known)?.map(|_| found.object));
        }
        Ok(Some(found.object))
    }

    /// Makes a file that must not be there yet.
    pub async fn create(&mut self, folder: &nfs_fh3, name: &str) -> Answer<nfs_fh3> {
        let attributes = sattr3 { mode: Nfs3Option::Some(0o644), ..sattr3::default() };
        let arguments = CREATE3args { where_: entry(folder, name), how: createhow3::GUARDED(attributes) };
        let made = self.nfs::<CREATE3resok, CREATE3resfail>(NFS_PROGRAM::NFSPROC3_CREATE, &arguments).await?;
        // A server need not give the handle.
        if let Nfs3Option::Some(handle) = made.obj {
            return Ok(handle);
        }
        let found = self.lookup(folder, name).await?;
        found.ok_or_else(|| wrong("LOOKUP", "the file that CREATE made", "no such name"))
    }

    /// Writes a file's whole content and has it committed; returns how many WRITEs that took.
    pub async fn write(&mut self, file: &nfs_fh3, content: &[u8], most: u32) -> Answer<u32> {
        let (mut written, mut calls) = (0, 0);
        while written < content.len() {
            let left = &content[written..];
            let part = &left[..left.len().min(most as usize)];
            let arguments = WRITE3args {
                file: file.clone(),
                offset: written as u64,
                count: u32::try_from(part.len()).unwrap_or(most),
                stable: stable_how::UNSTABLE,
                data: Opaque::borrowed(part),
            };
            let answer = self.nfs::<WRITE3resok, WRITE3resfail>(NFS_PROGRAM::NFSPROC3_WRITE, &arguments).await?;
            let count = answer.count as usize;
            if count == 0 || count > part.len() {
                return Err(wrong("WRITE", format!("1 to {} bytes written", part.len()), format!("{count} bytes")));
            }
            written += count;
            calls += 1;
        }
        let arguments = COMMIT3args { file: file.clone(), offset: 0, count: 0 };
        self.nfs::<COMMIT3resok, COMMIT3resfail>(NFS_PROGRAM::NFSPROC3_COMMIT, &arguments).await?;
        Ok(calls)
    }

    /// Reads a file that must have this content.
    pub async fn read(&mut self, file: &nfs_fh3, content: &[u8], most: u32) -> Answer<()> {
        let mut read = Vec::new();
        // A byte more than expected is enough to know.
        while read.len() <= content.len() {
            let arguments = READ3args { file: file.clone(), offset: read.len() as u64, count: most };
            let answer = self.nfs::<READ3resok, READ3resfail>(NFS_PROGRAM::NFSPROC3_READ, &arguments).await?;
            if answer.data.len() > most as usize || (answer.data.is_empty() && !answer.eof) {
                let seen = format!("{} bytes, and more to come", answer.data.len());
                return Err(wrong("READ", format!("1 to {most} bytes, or the end"), seen));
            }
            read.extend_from_slice(&answer.data);
            if answer.eof {
                break;
            }
        }
        if read == content {
            return Ok(());
        }
        let same = read.iter().zip(content).take_while(|(read, written)| read == written).count();
        let seen = format!("{} bytes, of which the first {same} are the same", read.len());
        Err(wrong("READ", format!("the {} bytes that were written", content.len()), seen))
    }

    pub async fn list(&mut self, folder: &nfs_fh3, name: &str) -> Answer<Listed> {
        let mut plus = true;
        for _ in 0..LISTS {
            match self.list_once(folder, name, plus).await {
                Ok(listed) => return Ok(listed),
                // unfs3 does not know READDIRPLUS.
                Err(trouble) if plus && trouble.status() == "NFS3ERR_NOTSUPP" => plus = false,
                Err(trouble) if trouble.status() == "NFS3ERR_BAD_COOKIE" => {}
                Err(trouble) => return Err(trouble),
            }
        }
        Ok(Listed::Changing)
    }

    async fn list_once(&mut self, folder: &nfs_fh3, name: &str, plus: bool) -> Answer<Listed> {
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
                None => return Err(wrong(call, "names, or the end of the list", "neither")),
            }
        }
    }

    pub async fn rename(&mut self, folder: &nfs_fh3, old: &str, new: &str) -> Answer<()> {
        let arguments = RENAME3args { from: entry(folder, old), to: entry(folder, new) };
        self.nfs::<RENAME3resok, RENAME3resfail>(NFS_PROGRAM::NFSPROC3_RENAME, &arguments).await?;
        for (name, is_there) in [(old, false), (new, true)] {
            if self.lookup(folder, name).await?.is_some() != is_there {
                let expected = format!("after RENAME, {name} {}", if is_there { "found" } else { "not found" });
                return Err(wrong("LOOKUP", expected, "the contrary"));
            }
        }
        Ok(())
    }

    pub async fn remove(&mut self, folder: &nfs_fh3, name: &str) -> Answer<()> {
        let arguments = REMOVE3args { object: entry(folder, name) };
        self.nfs::<REMOVE3resok, REMOVE3resfail>(NFS_PROGRAM::NFSPROC3_REMOVE, &arguments).await?;
        match self.lookup(folder, name).await? {
            None => Ok(()),
            Some(_) => Err(wrong("LOOKUP", format!("after REMOVE, {name} not found"), "it is still there")),
        }
    }
}

/// What was found; `None` if it is not there.
fn unless_gone<T>(looked: Answer<T>) -> Answer<Option<T>> {
    match looked {
        Err(trouble) if ["NFS3ERR_NOENT", "NFS3ERR_STALE"].contains(&trouble.status()) => Ok(None),
        looked => looked.map(Some),
    }
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
    async fn hostile_answers_end_in_an_error() {
        let is_wrong = |trouble: Trouble| assert!(matches!(trouble.what, What::Wrong(..)), "{trouble:?}");
        for body in [vec![], vec![0], vec![0, u32::MAX], vec![0, 4, 1, u32::MAX], vec![0, 4, 1, 0, 7], vec![77]] {
            is_wrong(session(vec![body]).mount("/data").await.unwrap_err());
        }
        // No attributes, four bytes that are not announced as the end, again and again.
        let read = vec![0, 0, 4, 0, 4, 1];
        is_wrong(session(vec![read; 4]).read(&handle(), b"text", 4).await.unwrap_err());
        let nothing = vec![0, 0, 0, 0, 0];
        is_wrong(session(vec![nothing]).read(&handle(), b"text", 4).await.unwrap_err());
        // More bytes written than were sent: no attributes before and after.
        let written = vec![0, 0, 0, 5, 2, 0, 0];
        is_wrong(session(vec![written]).write(&handle(), b"text", 4096).await.unwrap_err());
        // A list without names that does not end.
        let list = vec![0, 0, 0, 0, 0, 0];
        is_wrong(session(vec![list]).list(&handle(), "name").await.unwrap_err());
    }

    #[tokio::test]
    async fn a_name_that_is_remembered_but_gone_is_not_there() {
        // A handle of four bytes, without attributes of it and of its folder; then GETATTR says that there is no such file.
        let remembered = vec![0, 4, 1, 0, 0];
        let mut session = session(vec![remembered, vec![2], vec![2, 0], vec![13, 0]]);
        assert_eq!(session.lookup(&handle(), "name").await, Ok(None));
        assert_eq!(session.lookup(&handle(), "name").await, Ok(None));
        assert!(matches!(session.lookup(&handle(), "name").await.unwrap_err().what, What::Refused(_)));
    }

    #[tokio::test]
    async fn a_server_without_readdirplus_is_asked_with_readdir() {
        // An entry: there is one, its number, its name of 4 bytes, its cookie; then no more, and the end.
        let list = vec![0, 0, 0, 0, 1, 0, 9, 4, 0x6e61_6d65, 0, 1, 0, 1];
        let mut session = session(vec![vec![10004, 0], list.clone(), list]);
        assert_eq!(session.list(&handle(), "name").await, Ok(Listed::Found("READDIR".into())));
        assert_eq!(session.list_once(&handle(), "other", false).await, Ok(Listed::Missing(1)));
    }
}
