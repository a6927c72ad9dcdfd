use super::*;

/// A folder with a configuration and files beside it.
fn folder(text: &str, files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files.iter().chain(&[("outbid.toml", text)]) {
        let file = folder.path().join(name);
        std::fs::write(&file, text).expect("a file");
        set_mode(&file, 0o644);
    }
    folder
}

fn load_beside(text: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Result<Config, String> {
    let folder = folder(text, files);
    let look_up = |name: &str| {
        let found = env.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Config::load_with(&folder.path().join("outbid.toml"), &look_up)
        .map_err(|error| format!("{}: {}", error.line, error.reason))
}

fn load(text: &str) -> Result<Config, String> {
    load_beside(text, &[], &[])
}

const GOOD: &str =
    "version = 1\n[paths]\ncatalog = 'c'\nstrategies = 's'\nstate = 'v'\n[exchange.x]\n";

#[test]
fn a_small_file_is_enough() {
    let config = load(GOOD).expect("good");
    assert!(config.paths.catalog.is_absolute());
    assert_eq!(config.exchanges["x"].charge_on, ChargeOn::Billing);
    assert_eq!(config.exchanges["x"].path("x"), "/openrtb2/x/bid");
    assert_eq!(config.public_url(), "http://127.0.0.1:8081");
}

#[test]
fn strict_mode_is_taken_where_nothing_stands_against_it() {
    let strict = format!(
        "{GOOD}[privacy]\nmode = 'strict'\nmodel = 'dp-ftrl'\nmodel_rho_percent = 60\n\
         clicks = {{ per_cell = 1, cells = 3, total = 3, rho_percent = 22 }}\n\
         [relevance]\ncollaborative = false\n"
    );
    let config = load(&strict).expect("strict");
    assert!(config.privacy.mode.is_strict());
    let refused = load(&strict.replace("dp-ftrl", "plain")).expect_err("a plain model");
    assert!(refused.to_string().contains("8: privacy.mode: it needs model"), "{refused}");
}

#[test]
fn wrong_files_are_refused_with_their_line() {
    for (text, expected) in [
        (format!("{GOOD}\nwrong = 1\n"), "8: unknown field `wrong`"),
        (GOOD.replace("version = 1", "version = 2"), "1: version: it is not known"),
        (GOOD.replace("[exchange.x]", ""), "missing field `exchange`"),
        (GOOD.replace("[exchange.x]", "[exchange]"), "6: exchange: from 1 to 100"),
        (
            format!("{GOOD}decision_ttl_s = 9\nbilling_window_s = 8\n"),
            "8: exchange.x.billing_window_s: it must not be below",
        ),
        (
            format!("{GOOD}billing_window_s = 86401\n"),
            "7: exchange.x.billing_window_s: it must not be above 86400",
        ),
        (
            format!("{GOOD}[experiment]\narms = {{ full = 99 }}\n"),
            "8: experiment.arms: they add up to 99",
        ),
        (format!("{GOOD}charge_on = 'never'\n"), "7: unknown variant"),
        (format!("{GOOD}[relevance]\nusers_min = 0\n"), "8: relevance.users_min: it lies between"),
        (format!("{GOOD}[relevance]\nusers_min = 17\n"), "8: relevance.users_min: it lies between"),
        (format!("{GOOD}[relevance]\nitems_max = 0\n"), "8: relevance.items_max: it lies between"),
        (
            format!("{GOOD}[privacy]\nmode = 'strict'\n[relevance]\ncollaborative = true\n"),
            "10: relevance.collaborative: it must be false where privacy.mode is strict",
        ),
        (
            format!("{GOOD}[privacy]\nmode = 'strict'\n[relevance]\ncollaborative = false\n"),
            "8: privacy.mode: it needs model",
        ),
        (format!("{GOOD}[privacy]\nmode = 'loose'\n"), "8: unknown variant"),
        (format!("{GOOD}[auction]\ncandidates = 9\n"), "8: unknown field `candidates`"),
        (format!("{GOOD}[prediction]\ndim = 12\n"), "8: prediction.dim: it is 8 or 16"),
        (format!("{GOOD}[prediction.onnx]\nvocabulary = 9\n"), "missing field `file`"),
        #[cfg(not(feature = "onnx"))]
        (format!("{GOOD}[prediction.onnx]\nfile = 'm'\nvocabulary = 9\n"), "knows no ONNX"),
        #[cfg(feature = "onnx")]
        (
            format!("{GOOD}[prediction.onnx]\nfile = 'm'\nvocabulary = 1\n"),
            "9: prediction.onnx.vocabulary: it lies between",
        ),
        #[cfg(feature = "onnx")]
        (
            format!("{GOOD}[prediction.onnx]\nfile = 'm'\nvocabulary = 9\ntop = 65\n"),
            "10: prediction.onnx.top: it lies between",
        ),
        (
            format!("{GOOD}[prediction]\nnegative_rate = nan\n"),
            "8: prediction.negative_rate: it lies",
        ),
        (format!("{GOOD}[server]\nexchange_listen = '0.0.0.0:80'\n"), "8: server.exchange_listen"),
        (
            format!("{GOOD}[currency]\nfile = 'f'\nrates = {{ EUR = '1' }}\n"),
            "9: currency.rates: rates stand either here or in the file",
        ),
        (
            format!("{GOOD}[currency.rates]\nEUR = '1.1'\nGBP = 'x'\n"),
            "9: currency.rates.GBP: the rate of GBP is `x`",
        ),
        (format!("{GOOD}[server]\npublic_listen = '0.0.0.0:80'\n"), "7: server.public_url"),
        (format!("{GOOD}[session]\nsessions_max = 1_000_000_001\n"), "8: session.sessions_max"),
        (format!("{GOOD}[server]\npublic_url = 'https://a.example/\"'\n"), "8: server.public_url"),
    ] {
        let error = load(&text).expect_err(expected);
        assert!(error.contains(expected), "{error} against {expected}");
    }
}

#[test]
fn what_an_exchange_cannot_be_is_refused() {
    let auth = |rest: &str| format!("auth = {{ {rest} }}\n");
    for (lines, expected) in [
        ("path = 'bid'\n", "7: exchange.x.path: it begins with"),
        ("path = '/{x}'\n", "7: exchange.x.path"),
        ("path = '/openrtb2/y/bid'\n[exchange.y]\n", "8: exchange.y.path: exchange.x has the same"),
        ("[exchange.'a b']\n", "7: exchange.a b: the name has letters"),
        ("[exchange.a-b]\n[exchange.a_b]\n", "8: exchange.a_b: its secrets have the same names"),
        ("margin_ms = 120\n", "6: exchange.x.tmax_default_ms: it must be above margin_ms"),
        ("price = 'secret'\n", "7: unknown variant `secret`"),
        ("price = 'google'\n", "7: exchange.x.price: google prices need price_keys_file, or OUT"),
        ("price_keys_file = 'k'\n", "7: exchange.x.price_keys_file: plain prices have no keys"),
        ("price = 'google'\nprice_keys_file = 'no'\n", "7: exchange.x.price: "),
        ("answer_bytes_max = 100\n", "7: exchange.x.answer_bytes_max"),
        ("allowed_attributes = [1, 64]\n", "7: exchange.x.allowed_attributes"),
        (&auth("kind = 'password'"), "7: unknown variant `password`"),
        (&auth("kind = 'none', header = 'x'"), "7: unknown field `header`"),
        (&auth("kind = 'shared_secret'"), "7: missing field `header`"),
        (&auth("kind = 'shared_secret', header = 'x'"), "7: exchange.x.auth: secret_file or OUTB"),
        (&auth("kind = 'shared_secret', header = 'a b'"), "7: exchange.x.auth.header"),
        (&auth("kind = 'addresses', allowed = []"), "7: exchange.x.auth.allowed: at least one"),
        (&auth("kind = 'addresses', allowed = ['::/0']"), "7: exchange.x.auth.allowed: a network"),
        (&auth("kind = 'addresses', allowed = ['10.1/8']"), "7: `10.1/8` is no network"),
        (
            &auth("kind = 'mtls_header', header = 'x', allowed = [], trusted_proxies = ['::1']"),
            "7: exchange.x.auth.allowed",
        ),
        (
            &auth("kind = 'mtls_header', header = 'x', allowed = ['a'], trusted_proxies = []"),
            "7: exchange.x.auth.trusted_proxies",
        ),
    ] {
        let error = load(&format!("{GOOD}{lines}")).expect_err(expected);
        assert!(error.contains(expected), "{error} against {expected}");
    }
}

#[test]
fn beyond_loopback_every_exchange_must_prove_itself() {
    let addresses = "auth = { kind = 'addresses', allowed = ['10.0.0.0/8'] }\n";
    let listen = "[server]\nexchange_listen = '0.0.0.0:80'\n";
    load(&format!("{GOOD}{addresses}{listen}")).expect("the only one does");
    let error = load(&format!("{GOOD}{addresses}[exchange.y]\n{listen}")).expect_err("y does not");
    assert!(
        error.contains("10: server.exchange_listen") && error.contains("exchange.y"),
        "{error}"
    );
}

const KEY: &str = "skU7Ax_NL5pPAFyKdkfZjZz2-VhIN8bjj1rVFOaJ_5o=";
const HEX: &str = "6ab3b6df291d36a510e4b12843415598f90177bc41e423bcf4f0d99528e9171a";

#[test]
fn secrets_come_from_files_or_the_environment() {
    let secret = "auth = { kind = 'shared_secret', header = 'x', secret_file = 's' }\n";
    let text = format!("{GOOD}price = 'google'\nprice_keys_file = 'k'\n{secret}");
    let keys = format!("encryption_key = '{KEY}'\nintegrity_key = '{HEX}'\n");
    let files = [("k", keys.as_str()), ("s", "sixteen bytes at least\n")];
    let config = load_beside(&text, &files, &[]).expect("files");
    let exchange = &config.exchanges["x"];
    assert_eq!(exchange.secret, Some(Secret::new(b"sixteen bytes at least")));
    let read = exchange.price_keys.clone().expect("keys");
    assert_eq!((read.encryption.bytes()[0], read.integrity.bytes()[0]), (0xb2, 0x6a));
    assert_eq!(config.warnings.len(), 2, "others may read both: {:?}", config.warnings);
    let shown = format!("{config:?}");
    assert!(!shown.contains("178, 69") && !shown.contains("sixteen"), "{shown}");

    let env = [
        ("OUTBID_EXCHANGE_X_SECRET", "another of the kind"),
        ("OUTBID_EXCHANGE_X_ENCRYPTION_KEY", HEX),
        ("OUTBID_EXCHANGE_X_INTEGRITY_KEY", KEY),
    ];
    let config = load_beside(&text, &[], &env).expect("the environment wins");
    let exchange = &config.exchanges["x"];
    assert_eq!(exchange.secret, Some(Secret::new(b"another of the kind")));
    assert_eq!(exchange.price_keys.clone().expect("keys").encryption, read.integrity);
    assert!(config.warnings.is_empty());

    let error = load_beside(&text, &[], &env[..2]).expect_err("one key of two");
    assert!(error.contains("7: exchange.x.price: ") && error.contains("go together"), "{error}");
    let short = [("OUTBID_EXCHANGE_X_SECRET", "short"), env[1], env[2]];
    let error = load_beside(&text, &[], &short).expect_err("short");
    assert!(error.contains("9: exchange.x.auth: the secret has less than 16"), "{error}");
    let damaged = [("k", "encryption_key = 'leaked'\nintegrity_key = 'x'\n"), files[1]];
    let error = load_beside(&text, &damaged, &[]).expect_err("no keys");
    assert!(error.contains("the encryption key is not 32 bytes") && !error.contains("leaked"));
}

/// Whatever the umask of who runs the tests.
fn set_mode(file: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(mode)).expect("changed");
}

#[test]
fn a_private_file_gives_no_warning() {
    let secret = "auth = { kind = 'shared_secret', header = 'x', secret_file = 's' }\n";
    let folder = folder(&format!("{GOOD}{secret}"), &[("s", "sixteen bytes at least\n")]);
    set_mode(&folder.path().join("s"), 0o600);
    let config = Config::load_with(&folder.path().join("outbid.toml"), &|_| None).expect("good");
    assert!(config.warnings.is_empty(), "{:?}", config.warnings);
}
