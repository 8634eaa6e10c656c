//! Who a started command runs as.

use std::env;

use nix::unistd::{Gid, Uid, User, getgrouplist};

use super::TargetError;

/// A user with all groups, and the environment that goes with it.
#[derive(Clone, Debug)]
pub struct Identity {
    /// User id.
    pub uid: Uid,
    /// Primary group.
    pub gid: Gid,
    /// All groups.
    pub groups: Vec<Gid>,
    /// `HOME`, `USER` and `LOGNAME`, which sudo has set to root's.
    pub environment: Vec<(&'static str, String)>,
}

impl Identity {
    /// The user that called `sudo`, if that is how we were started.
    ///
    /// # Errors
    ///
    /// When `SUDO_UID` names nobody: then running the command as root would be a surprise.
    pub fn behind_sudo() -> Result<Option<Self>, TargetError> {
        let Some(uid) = env::var_os("SUDO_UID") else { return Ok(None) };
        let uid = uid.to_str().and_then(|uid| uid.parse().ok()).ok_or(TargetError::UnknownUser)?;
        let uid = Uid::from_raw(uid);
        if uid.is_root() || !Uid::effective().is_root() {
            return Ok(None);
        }
        let user = User::from_uid(uid).ok().flatten().ok_or(TargetError::UnknownUser)?;
        let name =
            std::ffi::CString::new(user.name.as_str()).map_err(|_| TargetError::UnknownUser)?;
        let groups = getgrouplist(&name, user.gid).map_err(|_| TargetError::UnknownUser)?;
        let environment = vec![
            ("HOME", user.dir.to_string_lossy().into_owned()),
            ("USER", user.name.clone()),
            ("LOGNAME", user.name),
        ];
        Ok(Some(Self { uid, gid: user.gid, groups, environment }))
    }
}
