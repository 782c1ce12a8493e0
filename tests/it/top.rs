//! `palisade top` as an operator has it: a real terminal (tmux), real keys, a real daemon.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use palisade::tui::probe::Taken;

use crate::support::totp::Stopped;
use crate::support::{Daemon, Place, Pty, Upstream, deadline, left, palisade};

/// A terminal with the dashboard in it; the shell around it says how it ended.
struct Terminal {
    place: Place,
    socket: PathBuf,
}

impl Terminal {
    fn open(daemon: &Daemon, size: (u16, u16), options: &str) -> Self {
        Self::open_as(daemon, size, options, "LANG=C.UTF-8")
    }

    /// The same with other variables, as `NAME=value` words.
    fn open_as(daemon: &Daemon, size: (u16, u16), options: &str, variables: &str) -> Self {
        Self::run(daemon, size, &format!("top {options}"), variables)
    }

    /// Another verb on it.
    fn run(daemon: &Daemon, size: (u16, u16), verb: &str, variables: &str) -> Self {
        let place = Place::new();
        let socket = place.path("tmux.sock");
        let (pid, control) = (place.path("pid"), daemon.control());
        let binary = env!("CARGO_BIN_EXE_palisade");
        let script = format!(
            "env TERM=xterm-256color {variables} sh -c 'echo $$ > {}; exec {binary} {verb} --socket {}'\n\
             echo \"ended with $?\"; stty -a | tr ' ;' '\\n\\n' | grep icanon; exec cat\n",
            pid.display(),
            control.display()
        );
        std::fs::write(place.path("script"), script).unwrap();
        let terminal = Self { place, socket };
        let (width, height) = (size.0.to_string(), size.1.to_string());
        let script = format!("sh {}", terminal.place.path("script").display());
        terminal.tmux(&["new-session", "-d", "-x", &width, "-y", &height, &script]);
        terminal
    }

    fn tmux(&self, args: &[&str]) -> String {
        let mut command = Command::new("tmux");
        command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("LANG", "C.UTF-8");
        command.arg("-u").arg("-S").arg(&self.socket).args(["-f", "/dev/null"]).args(args);
        let output = command.stdin(Stdio::null()).output().expect("tmux is installed");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Keys by the names that tmux has for them.
    fn keys(&self, keys: &[&str]) {
        let all: Vec<&str> = ["send-keys"].into_iter().chain(keys.iter().copied()).collect();
        self.tmux(&all);
    }

    fn screen(&self) -> String {
        self.tmux(&["capture-pane", "-p"])
    }

    fn wait(&self, what: &str, mut there: impl FnMut(&str) -> bool) -> String {
        let ends = deadline();
        loop {
            let screen = self.screen();
            if there(&screen) {
                return screen;
            }
            assert!(!left(ends).is_zero(), "{what} does not show:\n{screen}");
            // Between two looks at a screen, not a wait for something to have happened.
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    fn wait_for(&self, words: &str) -> String {
        self.wait(words, |screen| screen.contains(words))
    }

    fn wait_without(&self, words: &str) -> String {
        self.wait(&format!("a screen without {words}"), |screen| !screen.contains(words))
    }

    fn pid(&self) -> Pid {
        let text = std::fs::read_to_string(self.place.path("pid")).expect("it has started");
        Pid::from_raw(text.trim().parse().expect("a number")).expect("a process")
    }

    fn resize(&self, width: u16, height: u16) {
        let (width, height) = (width.to_string(), height.to_string());
        self.tmux(&["resize-window", "-x", &width, "-y", &height]);
    }

    /// Whether the terminal is as a shell wants it: own screen, cursor, no mouse, lines.
    fn is_restored(&self) {
        let screen = self.wait_for("icanon");
        assert!(!screen.contains("-icanon"), "{screen}");
        let flags =
            self.tmux(&["display", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}"]);
        assert_eq!(flags.trim(), "0 1 0", "alternate screen, cursor, mouse");
    }

    /// Bytes that the program sends while the daemon's clock moves on by at least so many seconds, per second.
    fn bytes_per_second(&self, seconds: u32, mut meanwhile: impl FnMut()) -> u64 {
        let file = self.place.path("bytes");
        let clock = |screen: &str| {
            let line = screen.lines().next().unwrap_or_default();
            let (before, _) = line.split_once(" UTC")?;
            let mut parts = before.rsplit(' ').next()?.split(':').map(str::parse::<u32>);
            let mut part = || parts.next()?.ok();
            Some(part()? * 3_600 + part()? * 60 + part()?)
        };
        let from = clock(&self.screen()).expect("a clock");
        self.tmux(&["pipe-pane", &format!("cat > {}", file.display())]);
        let mut passed = 0;
        self.wait("time", |screen| {
            meanwhile();
            // The clock may go back a second, between two that tell it; that is no day.
            let now = clock(screen).map_or(0, |now| (now + 86_400 - from) % 86_400);
            passed = if now < 43_200 { now } else { 0 };
            passed >= seconds
        });
        self.tmux(&["pipe-pane"]);
        std::fs::metadata(file).expect("written").len() / u64::from(passed)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.screen());
        }
        self.tmux(&["kill-server"]);
    }
}

fn daemon() -> (Upstream, Daemon) {
    let app = Upstream::text("hello");
    let daemon = Daemon::site("app.localhost", &app.address());
    (app, daemon)
}

#[test]
fn keys_lead_through_the_views_to_one_request() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["2"]);
    terminal.wait_for("waiting for requests");
    assert_eq!(daemon.curl(&["https://app.localhost/first"]).status, 200);
    terminal.wait_for("/first");
    assert_eq!(daemon.curl(&["https://app.localhost/second"]).status, 200);
    terminal.wait_for("/second");
    terminal.keys(&["j", "Enter"]);
    let page = terminal.wait_for("What it met, in order");
    assert!(page.contains("GET /first") && page.contains("upstream"), "{page}");
    terminal.keys(&["Escape"]);
    terminal.wait_for("/second");
    terminal.keys(&["/", "f", "i", "r", "s", "t"]);
    terminal.wait_without("/second");
    terminal.keys(&["Enter"]);
    terminal.wait_for("FILTER /first");
    terminal.keys(&[":", "s", "i", "Enter"]);
    terminal.wait_for("RENEWS");
    terminal.keys(&["Enter"]);
    let page = terminal.wait_for("palisade local CA");
    assert!(page.contains("app.localhost"), "{page}");
    terminal.keys(&["q"]);
    terminal.wait_for("ended with 0");
    terminal.is_restored();
}

#[test]
fn narrowing_asks_the_daemon_too_and_one_key_widens_again() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (120, 40), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["2"]);
    terminal.wait_for("waiting for requests");
    assert_eq!(daemon.curl(&["https://app.localhost/wanted"]).status, 200);
    terminal.wait_for("/wanted");
    terminal.keys(&["n"]);
    let choice = terminal.wait_for("Show in every view only");
    assert!(choice.contains("path    /wanted"), "{choice}");
    terminal.keys(&["j", "j", "j", "Enter"]);
    terminal.wait_for("ONLY path /wanted");
    assert_eq!(daemon.curl(&["https://app.localhost/other"]).status, 200);
    terminal.keys(&["N"]);
    terminal.wait_without("ONLY");
    let ends = deadline();
    while !terminal.screen().contains("/third") {
        assert!(!left(ends).is_zero(), "{}", terminal.screen());
        assert_eq!(daemon.curl(&["https://app.localhost/third"]).status, 200);
    }
}

#[test]
fn a_reload_wants_elevation_and_an_answer() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["R"]);
    terminal.wait_for("read-only: press e to elevate first");
    terminal.keys(&["e"]);
    terminal.wait_for("Enter elevate");
    terminal.keys(&["Enter"]);
    terminal.wait_for("ELEVATED 10 min");
    terminal.keys(&["R"]);
    terminal.wait_for("Reload the configuration?");
    terminal.keys(&["y"]);
    terminal.wait_for("Generation 2 is in force.");
}

#[test]
fn a_daemon_that_goes_away_is_waited_for() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    let place = daemon.place().clone();
    daemon.sigkill();
    drop(daemon);
    let gone = terminal.wait_for("FAIL  ");
    assert!(gone.contains("GONE"), "{gone}");
    assert!(gone.contains("next try in") || gone.contains("trying"), "{gone}");
    terminal.keys(&["e"]);
    terminal.wait_for("no change now: the daemon is gone");
    terminal.keys(&["3"]);
    terminal.wait_for("RENEWS");
    let daemon = place.start();
    terminal.wait_without("GONE");
    terminal.keys(&["2"]);
    let ends = deadline();
    while !terminal.screen().contains("/again") {
        assert!(!left(ends).is_zero(), "{}", terminal.screen());
        assert_eq!(daemon.curl(&["https://app.localhost/again"]).status, 200);
    }
}

#[test]
fn a_daemon_that_stalls_is_told_by_the_age_of_its_data_while_keys_work() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    let pid = Pid::from_raw(i32::try_from(daemon.pid()).unwrap()).unwrap();
    kill_process(pid, Signal::STOP).unwrap();
    terminal.wait_for("WARN  last data ");
    terminal.keys(&["3"]);
    terminal.wait_for("RENEWS");
    kill_process(pid, Signal::CONT).unwrap();
    terminal.wait_without("last data");
}

#[test]
fn every_signal_that_ends_it_leaves_the_terminal_as_it_was() {
    let (_app, daemon) = daemon();
    for signal in [Signal::TERM, Signal::HUP, Signal::INT] {
        let terminal = Terminal::open(&daemon, (80, 24), "");
        terminal.wait_for("Nothing needs attention.");
        terminal.keys(&["m"]);
        terminal.wait_for("mouse on");
        kill_process(terminal.pid(), signal).unwrap();
        terminal.wait_for("ended with 0");
        terminal.is_restored();
    }
    let terminal = Terminal::open(&daemon, (80, 24), "");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["C-c"]);
    terminal.wait_for("ended with 0");
    terminal.is_restored();
}

#[test]
fn a_terminal_that_is_closed_ends_it() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "");
    terminal.wait_for("Nothing needs attention.");
    let (pid, ends) = (terminal.pid(), deadline());
    drop(terminal);
    while kill_process(pid, Signal::CONT).is_ok() {
        assert!(!left(ends).is_zero(), "it runs on without a terminal");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

#[test]
fn it_can_be_made_small_and_large_again_with_a_question_open() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (120, 40), "");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["?"]);
    terminal.wait_for("Here, now");
    terminal.resize(20, 5);
    terminal.wait_for("This terminal is too");
    terminal.resize(80, 24);
    terminal.wait_for("Here, now");
    terminal.keys(&["Escape"]);
    terminal.wait_for("Nothing needs attention.");
}

#[test]
fn an_ascii_terminal_gets_ascii_only() {
    let (_app, daemon) = daemon();
    for (variables, options) in
        [("LANG=C.UTF-8", "--ascii"), ("LANG=C", ""), ("TERM=linux LANG=C.UTF-8", "")]
    {
        let terminal = Terminal::open_as(&daemon, (80, 24), options, variables);
        let screen = terminal.wait_for("Nothing needs attention.");
        assert!(screen.is_ascii(), "{variables} {options}: {screen}");
    }
}

#[test]
fn an_idle_dashboard_is_nearly_silent_and_a_busy_one_bounded() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (120, 40), "");
    terminal.wait_for("Nothing needs attention.");
    terminal.wait_for(" UTC");
    let idle = terminal.bytes_per_second(6, || {});
    assert!(idle < 200, "{idle} bytes a second with nothing to tell");
    terminal.keys(&["2"]);
    terminal.wait_for("waiting for requests");
    let busy = terminal.bytes_per_second(6, || {
        for _ in 0..10 {
            assert_eq!(daemon.curl(&["https://app.localhost/busy"]).status, 200);
        }
    });
    assert!(busy > idle && busy < 10_000, "{busy} bytes a second");
    println!("bytes a second at 120x40: {idle} idle, {busy} busy"); // for docs/DASHBOARD.md
}

/// `palisade top` beside this daemon, with what a test makes of its terminal.
fn top(daemon: &Daemon) -> Command {
    let mut command = daemon.place().command();
    command.args(["top", "--socket"]).arg(daemon.control());
    command.env("TERM", "xterm").env("LANG", "C.UTF-8").stderr(Stdio::piped());
    command
}

#[test]
fn a_terminal_that_answers_no_question_is_drawn_on_all_the_same() {
    let (_app, daemon) = daemon();
    let mut terminal = Pty::open(80, 24);
    let mut child = top(&daemon).stdin(terminal.side()).stdout(terminal.side()).spawn().unwrap();
    terminal.wait_for("attention.");
    terminal.skip();
    terminal.keys("\x0c"); // Ctrl-l
    let sent = terminal.wait_for("attention.");
    assert!(!sent.contains("\x1b[6n"), "the cursor is not asked for: {sent:?}");
    terminal.keys("q");
    assert!(child.wait().unwrap().success());
    assert!(terminal.is_cooked());
}

#[test]
fn a_terminal_that_hangs_up_in_the_middle_ends_it_with_a_sentence() {
    let (_app, daemon) = daemon();
    let mut terminal = Pty::open(80, 24);
    let child = top(&daemon).stdin(terminal.side()).stdout(terminal.side()).spawn().unwrap();
    terminal.wait_for("attention.");
    drop(terminal);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("palisade top: the terminal is gone ("), "{said}");
}

#[test]
fn without_keys_or_without_a_screen_it_says_so_and_touches_nothing() {
    let (_app, daemon) = daemon();
    let mut terminal = Pty::open(80, 24);
    let (nothing, pipe) = (Stdio::null, Stdio::piped);
    let cases = [
        (nothing(), terminal.side(), "xterm", 1, "standard input is no terminal"),
        (terminal.side(), pipe(), "xterm", 2, "this is no terminal"),
        (terminal.side(), terminal.side(), "dumb", 2, "cannot place text (TERM=dumb)"),
    ];
    for (stdin, stdout, term, code, words) in cases {
        let mut command = top(&daemon);
        let child = command.env("TERM", term).stdin(stdin).stdout(stdout).spawn().unwrap();
        drop(command); // it holds the terminal, too
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(words) && said.contains("palisade top --once"), "{said}");
        assert!(terminal.is_cooked() && output.stdout.is_empty());
    }
    // Not a byte of it came before this.
    let mut command = Command::new("echo");
    command.arg("first").stdout(terminal.side()).status().unwrap();
    assert_eq!(terminal.wait_for("first\r\n"), "first\r\n");
}

#[test]
fn a_panic_puts_the_terminal_back_before_it_is_told() {
    // The test starts itself on a terminal of its own, and panics there.
    const NAME: &str = "top::a_panic_puts_the_terminal_back_before_it_is_told";
    const HERE: &str = "IT_PANICS_ON_ITS_TERMINAL";
    if std::env::var_os(HERE).is_some() {
        let mut screen = Taken::open().expect("a terminal");
        screen.draw((80, 24)).expect("a frame");
        panic!("said on the operator's own screen");
    }
    let mut terminal = Pty::open(80, 24);
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", NAME, "--nocapture"]).env(HERE, "1").env("TERM", "xterm");
    command.stdin(terminal.side()).stdout(terminal.side()).stderr(terminal.side());
    let mut child = command.spawn().unwrap();
    drop(command);
    terminal.wait_for("\x1b[?1049h");
    let sent = terminal.wait_for("test result: FAILED. 0 passed; 1 failed");
    assert!(!child.wait().unwrap().success());
    assert!(terminal.is_cooked(), "it was left raw");
    let (before, told) = sent.split_once("said on the operator's own screen").expect("told");
    for (taken, back) in [
        ("\x1b[?1049h", "\x1b[?1049l"),
        ("\x1b[?2004h", "\x1b[?2004l"),
        ("\x1b[?1000h", "\x1b[?1000l"),
    ] {
        let (taken, back) = (before.rfind(taken), before.rfind(back));
        assert!(taken.is_some() && taken < back, "{sent:?}");
    }
    assert!(before.contains("\x1b[?25h"), "the cursor");
    assert!(!told.contains("\x1b[?1049l"), "leaving twice would move the cursor: {sent:?}");
}

#[test]
fn a_daemon_that_goes_away_under_an_open_question_is_told_and_the_question_still_works() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (80, 24), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["e"]);
    terminal.wait_for("Enter elevate");
    terminal.keys(&["Enter"]);
    terminal.wait_for("ELEVATED 10 min");
    terminal.keys(&["R"]);
    terminal.wait_for("Reload the configuration?");
    daemon.sigkill();
    let place = daemon.place().clone();
    drop(daemon);
    let gone = terminal.wait_for("GONE");
    assert!(gone.contains("Reload the configuration?") && gone.contains("FAIL  "), "{gone}");
    terminal.keys(&["y"]);
    let said = terminal.wait_for("FAIL: nothing was changed");
    assert!(said.contains("no palisade answers at"), "{said}");
    terminal.keys(&["Enter"]);
    terminal.wait_without("nothing was changed");
    let _daemon = place.start();
    terminal.wait_without("GONE");
}

#[test]
fn the_audit_log_shows_changes_as_they_are_made_and_one_in_full() {
    let (_app, daemon) = daemon();
    let terminal = Terminal::open(&daemon, (100, 30), "--rate 250ms");
    terminal.wait_for("Nothing needs attention.");
    terminal.keys(&["7"]);
    terminal.wait_for("daemon.start");
    daemon.reload();
    terminal.wait_for("config.reload");
    terminal.keys(&["Enter"]);
    let page = terminal.wait_for("Before and after");
    assert!(page.contains("generation 1 -> 2") && page.contains("through    control"), "{page}");
}

#[test]
fn many_sites_are_renewed_one_after_another_and_the_first_that_fails_ends_it() {
    let app = Upstream::text("hello");
    let site = |name: &str| format!("[site.\"{name}\"]\nupstream = \"{}\"\n", app.address());
    // Nobody listens there: every order fails.
    let acme = "[acme]\ndirectory = \"https://127.0.0.1:9/dir\"\n";
    let sites = ["a.example.com", "b.example.com", "c.localhost"].map(site).concat();
    let daemon = Daemon::start(&format!("{acme}{sites}"));
    let terminal = Terminal::open(&daemon, (100, 30), "--rate 250ms");
    terminal.wait_for("3 sites");
    terminal.keys(&["3"]);
    terminal.wait_for("c.localhost");
    terminal.keys(&["G", "r"]);
    terminal.wait_for("it is of the local CA");
    terminal.keys(&["*"]);
    terminal.wait_for("left out 1 row");
    terminal.keys(&["e"]);
    terminal.wait_for("Enter elevate");
    terminal.keys(&["Enter"]);
    terminal.wait_for("ELEVATED");
    terminal.keys(&["r"]);
    terminal.wait_for("Renew the certificates of 2 sites now?");
    terminal.keys(&["y"]);
    let told = terminal.wait_for("FAIL: 0 of 2 done");
    assert!(told.contains("Not done, and still marked, 2:"), "{told}");
    terminal.keys(&["Enter"]);
    terminal.wait_for("MARKED 2");
}

#[test]
fn without_a_terminal_one_frame_is_what_one_gets() {
    let (_app, daemon) = daemon();
    let exit = daemon.cli(&["top"]);
    assert_eq!(exit.code, 2, "{exit:?}");
    assert!(exit.err.contains("palisade top --once"), "{}", exit.err);
    let exit = daemon.cli(&["top", "--once"]);
    assert_eq!(exit.code, 0, "{exit:?}");
    assert!(exit.out.contains("Nothing needs attention.") && exit.out.is_ascii(), "{}", exit.out);
    assert!(exit.out.lines().all(|line| line.len() <= 80), "{}", exit.out);
    let mut command = daemon.place().command();
    command.args(["top", "--once", "--socket"]).arg(daemon.control());
    let wide = palisade(command.env("COLUMNS", "120").env("LANG", "C.UTF-8"));
    assert!(wide.out.lines().any(|line| line.chars().count() == 120), "{}", wide.out);
    let json = daemon.cli(&["top", "--once", "--json"]).json();
    assert_eq!(json["status"]["state"], "ready");
    assert_eq!(json["history"]["resolution_s"], 1);
    assert_eq!(daemon.cli(&["top", "--rate", "1ms"]).code, 2);
}

#[test]
fn without_a_daemon_it_says_so_and_ends() {
    let place = Place::new();
    let socket = place.path("nobody.sock").display().to_string();
    let exit = place.palisade(&["top", "--once", "--socket", &socket]);
    assert_eq!(exit.code, 3, "{exit:?}");
    assert!(exit.err.contains("nobody.sock"), "{}", exit.err);
}

/// A daemon with a second factor, the clock that its codes are made by, and the factor's secret.
fn with_factor() -> (Stopped, Daemon, String) {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n");
    let clock = Stopped::now(&place);
    let daemon = clock.start(&place);
    let secret = clock.enroll(&daemon, "phone", &[]);
    (clock, daemon, secret)
}

#[test]
fn with_a_second_factor_elevating_wants_a_code_and_says_why_one_is_not_taken() {
    let (clock, daemon, secret) = with_factor();
    let terminal = Terminal::open(&daemon, (80, 24), "--rate 250ms");
    terminal.wait_for("e elevate");
    let used = clock.code(&secret);
    terminal.keys(&["e"]);
    terminal.wait_for("Code: ");
    terminal.keys(&[&used, "Enter"]);
    terminal.wait_for("a code works once");
    terminal.keys(&[&clock.next_code(&secret), "Enter"]);
    terminal.wait_for("elevated for 10 minutes");
    terminal.keys(&["R"]);
    terminal.wait_for("Reload the configuration?");
    terminal.keys(&["y"]);
    terminal.wait_for("Generation 2 is in force.");
    let exit = daemon.cli(&["audit", "search", "--json", "--action", "totp.elevate"]);
    assert_eq!(exit.json()["confirmed"], "phone");
}

#[test]
fn on_a_terminal_a_command_asks_for_the_code_that_its_call_wants() {
    let (clock, daemon, secret) = with_factor();
    let terminal = Terminal::run(&daemon, (80, 24), "crypto rotate", "LANG=C.UTF-8");
    terminal.wait_for("Code of your second factor:");
    terminal.keys(&[&clock.next_code(&secret), "Enter"]);
    terminal.wait_for("is in use");
    terminal.wait_for("ended with 0");
    let terminal = Terminal::run(&daemon, (80, 24), "crypto rotate", "LANG=C.UTF-8");
    terminal.wait_for("Code of your second factor:");
    terminal.keys(&["Enter"]);
    terminal.wait_for("--totp CODE");
    terminal.wait_for("ended with 1");
}

#[test]
fn enrolling_shows_a_secret_and_takes_the_code_that_the_device_makes_of_it() {
    let place = Place::new();
    place.configure("[site.\"app.localhost\"]\nupstream = \"127.0.0.1:9\"\n");
    let clock = Stopped::now(&place);
    let daemon = clock.start(&place);
    let terminal = Terminal::run(&daemon, (120, 24), "totp enroll phone", "LANG=C.UTF-8");
    let screen = terminal.wait_for("Code that the device shows now:");
    let line = screen.lines().find_map(|line| line.trim().strip_prefix("secret")).unwrap();
    let secret: String = line.split_whitespace().collect();
    assert!(
        screen.replace('\n', "").contains(&format!("?secret={secret}&issuer=palisade")),
        "{screen}"
    );
    terminal.keys(&[&clock.code_in(&secret, 3_600), "Enter"]);
    terminal.wait_for("Wrong code");
    terminal.keys(&[&clock.code(&secret), "Enter"]);
    terminal.wait_for("phone is active");
    terminal.wait_for("ended with 0");
}
