#!/bin/sh
# Makes .venv from requirements.lock. Does nothing when it is there and whole, mends it when not.
#
# The stamp is taken away before anything is changed and written last, so an environment that was
# interrupted half-way is never taken for a whole one. Needs Python 3.11+ and nothing else.
set -eu
cd "$(dirname "$0")/.."

uv_version=0.13.9
venv=.venv
stamp=$venv/.complete
uv=$venv/tools/bin/uv

say() { printf '%s\n' "$*" >&2; }

# What the environment was made from. Console scripts carry absolute paths: a checkout that was moved
# needs a new one.
here=$(pwd -P)
made_from=$(cat requirements.lock pyproject.toml deploy/install.sh | cksum)
wanted="$here $made_from"

works() { "$venv/bin/python" -c '' 2>/dev/null; }

if [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$wanted" ] && works; then
    exit 0
fi

find_python() {
    almost=
    for name in ${PYTHON:-} python3 python3.14 python3.13 python3.12 python3.11 python; do
        path=$(command -v "$name" 2>/dev/null) || continue
        "$path" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || continue
        if "$path" -c 'import ensurepip, venv' 2>/dev/null; then
            # pyenv and the like put a script there that depends on the folder; take what it runs.
            "$path" -c 'import sys; print(sys.executable)'
            return 0
        fi
        almost="$almost $path"
    done
    say "No usable Python was found. Python 3.11 or newer is needed, with its venv module."
    if [ -n "$almost" ]; then
        say "New enough, but without ensurepip:$almost (on Debian: apt install python3-venv)"
    elif old=$(command -v python3 2>/dev/null); then
        say "$old is $("$old" --version 2>&1)"
    fi
    say "Nothing was changed. Install one and start again, or name it: make up PYTHON=/path/to/python3"
    return 1
}

previous=$(cat "$stamp" 2>/dev/null || echo none)
rm -f "$stamp"
# Of another place, cut off before its first end, or without a working Python: begin again.
if [ "${previous%% *}" != "$here" ] || ! works; then
    python=$(find_python)
    rm -rf "$venv"
    say "Creating $venv with $("$python" --version 2>&1)"
    "$python" -m venv "$venv"
fi

if [ "$("$uv" --version 2>/dev/null | cut -d' ' -f2)" != "$uv_version" ]; then
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    rm -rf "$venv/tools"
    "$venv/bin/python" -m pip install --quiet --disable-pip-version-check \
        --target "$venv/tools" "uv==$uv_version"
fi

# Where packages come from, and whom to trust for it, is the user's business: what pip was told is
# told to uv as well.
# `pip config get` would look into the user's own file only.
pip_was_told() { "$venv/bin/python" -m pip config list 2>/dev/null | sed -n "s/^global\.$1='\(.*\)'\$/\1/p"; }
if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
    index=${PIP_INDEX_URL:-$(pip_was_told index-url)}
    if [ -n "$index" ]; then
        export UV_DEFAULT_INDEX="$index"
    fi
fi
if [ -z "${SSL_CERT_FILE:-}" ]; then
    certificates=${PIP_CERT:-$(pip_was_told cert)}
    if [ -n "$certificates" ]; then
        export SSL_CERT_FILE="$certificates"
    fi
fi

say "Installing $(grep -c '==' requirements.lock) packages (the first time takes a minute)"
"$uv" pip sync --quiet --python "$venv/bin/python" --require-hashes --compile-bytecode \
    requirements.lock
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable .
printf '%s\n' "$wanted" >"$stamp"
