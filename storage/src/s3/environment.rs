//! Everything that is not S3's own: transport, time, region, credentials. It does not know what is asked
//! for.

use std::time::Duration;

use aws_config::{
    BehaviorVersion, environment::EnvironmentVariableRegionProvider,
    meta::region::RegionProviderChain, profile::ProfileFileRegionProvider,
};
use aws_sdk_s3::config::{
    Credentials, Region, RequestChecksumCalculation, ResponseChecksumValidation,
    StalledStreamProtectionConfig, timeout::TimeoutConfig,
};
use aws_smithy_http_client::tls::{self, rustls_provider::CryptoMode};

use super::Settings;

/// Where there is none in the settings, environment or files; most other vendors take any.
const REGION: &str = "us-east-1";
/// Longest wait for a connection; shorter with a shorter deadline.
const CONNECT: Duration = Duration::from_secs(3);

/// What both clients share.
pub(super) async fn load(settings: &Settings) -> aws_config::SdkConfig {
    let client = aws_smithy_http_client::Builder::new()
        .tls_provider(tls::Provider::Rustls(CryptoMode::Ring))
        .build_https();
    let times = TimeoutConfig::builder()
        .connect_timeout(CONNECT.min(settings.deadline))
        .operation_timeout(settings.deadline)
        .build();
    let region = settings.region.clone().map(Region::new);
    // Not the machine's own: the default chain would ask for it with a client of its own.
    let region = RegionProviderChain::first_try(region)
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(ProfileFileRegionProvider::new())
        .or_else(Region::new(REGION));
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(client)
        .timeout_config(times)
        .region(region)
        // The deadline is the one measure of patience.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // Other vendors refuse checksums that they do not know.
        .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired);
    if let Some(endpoint) = &settings.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    if let (Some(id), Some(secret)) = (&settings.access_key_id, &settings.secret_access_key) {
        let own = Credentials::new(id, secret, None, None, "settings");
        loader = loader.credentials_provider(own);
    }
    loader.load().await
}
