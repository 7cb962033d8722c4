//! The keys under `storage.s3.`. It does not know what a bucket is.

use super::Hidden;

/// `storage.s3`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct S3 {
    /// Another vendor's URL; unset is AWS.
    pub endpoint: Option<String>,
    /// The bucket's name.
    pub bucket: Option<String>,
    /// Unset: from the AWS environment or files, else `us-east-1`.
    pub region: Option<String>,
    /// Put before every key.
    pub prefix: Option<String>,
    /// The bucket in the path, not in the host name.
    pub force_path_style: bool,
    /// With its secret; unset: from the AWS environment, files or the machine's role.
    pub access_key_id: Option<Hidden>,
    /// See `access_key_id`.
    pub secret_access_key: Option<Hidden>,
    /// The bucket's URL for viewers, without a trailing slash. With it, the playlists in the bucket
    /// name their segments by absolute URLs.
    pub public_base_url: Option<String>,
}
