pub fn run(_names: &[String]) -> Result<(), String> {
    Err("not yet".into())
}
