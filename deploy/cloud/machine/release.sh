#!/bin/sh
# Brings this machine to another release, newer or older: valerix-release TAG
#
# Migrations are additive, so the way back is the same command with the tag before.
set -eu

# read as a whole before it runs: the checkout puts another file in this one's place
main() {
    cd /opt/valerix
    [ $# -eq 1 ] || {
        echo "Here is $(git describe --tags --always). Another release: valerix-release TAG" >&2
        exit 2
    }
    before=$(git describe --tags --always)
    git fetch --quiet --depth 1 origin "refs/tags/$1:refs/tags/$1"
    git checkout --quiet --detach "refs/tags/$1"
    if ! docker compose build --quiet; then
        git checkout --quiet --detach "$before"
        echo "The images of $1 could not be built. $before goes on as it was." >&2
        exit 1
    fi
    sh deploy/cloud/machine/apply.sh || {
        echo "The way back: valerix-release $before" >&2
        exit 1
    }
}

main "$@"
exit
