#!/bin/sh
# Checks the templates of deploy/cloud with tools that nothing else needs: run.sh PYTHON [arguments of pytest]
#
# They are in .venv/cloud, which is made here. Without them it says so in a sentence, and fails nothing unless CI is set.
set -eu
python=$1
shift
venv=.venv/cloud
needed=tests/cloud/requirements.txt
stamp=$venv/.complete

if [ "$(cat "$stamp" 2>/dev/null)" != "$(cksum <"$needed")" ]; then
    echo "Installing cfn-lint and moto in $venv (the first time takes a minute)" >&2
    rm -rf "$venv"
    if ! { "$python" -m venv "$venv" \
        && "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$needed"; }; then
        rm -rf "$venv"
        echo "Skipped: the templates were not checked, as cfn-lint and moto cannot be installed here." >&2
        [ -z "${CI:-}" ]
        exit
    fi
    cksum <"$needed" >"$stamp"
fi
exec "$venv/bin/python" -m pytest -c tests/cloud/pytest.ini tests/cloud "$@"
