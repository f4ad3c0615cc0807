# Sourced by ./run and ./test: installs system packages through the system's own package manager, saying so first.
# Debian and Ubuntu (apt-get), Fedora (dnf), Arch (pacman) and macOS (brew) are known; elsewhere it says what is missing.

say() { printf '\033[1m%s\033[0m\n' "$*" >&2; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"; elif command -v sudo >/dev/null; then sudo "$@"; else
    say "This needs administrator rights, and there is no sudo: run as root: $*"; return 1
  fi
}

# need PROGRAM APT DNF PACMAN BREW: makes sure that PROGRAM is there.
missing_apt= missing_dnf= missing_pacman= missing_brew= missing_programs=
need() {
  command -v "$1" >/dev/null && return 0
  missing_programs="$missing_programs $1"
  missing_apt="$missing_apt $2" missing_dnf="$missing_dnf $3" missing_pacman="$missing_pacman $4" missing_brew="$missing_brew $5"
}

# need_file GLOB APT DNF PACMAN BREW: makes sure that some file of that pattern is there.
need_file() {
  compgen -G "$1" >/dev/null && return 0
  missing_programs="$missing_programs $1"
  missing_apt="$missing_apt $2" missing_dnf="$missing_dnf $3" missing_pacman="$missing_pacman $4" missing_brew="$missing_brew $5"
}

install_missing() {
  [ -n "$missing_programs" ] || return 0
  local command
  if command -v apt-get >/dev/null; then
    command="apt-get install -y --no-install-recommends$missing_apt"
  elif command -v dnf >/dev/null; then command="dnf install -y$missing_dnf"
  elif command -v pacman >/dev/null; then command="pacman -S --noconfirm$missing_pacman"
  elif command -v brew >/dev/null; then command="brew install$missing_brew"
  else
    say "Missing:$missing_programs. No known package manager was found; install them and try again."
    return 1
  fi
  say "Missing:$missing_programs"
  say "I am going to run: $command"
  if [ -t 0 ] && [ -z "${CI:-}" ]; then
    read -r -p "Go ahead? [Y/n] " answer
    case "$answer" in [nN]*) say "Nothing was installed."; return 1 ;; esac
  fi
  case "$command" in
    apt-get*) as_root apt-get update -qq && as_root env DEBIAN_FRONTEND=noninteractive $command -qq >/dev/null ;;
    brew*) $command ;;
    *) as_root $command ;;
  esac
}
