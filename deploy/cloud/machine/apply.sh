#!/bin/sh
# Brings this machine to what the checked-out release says: firewall, disk, engine, images, secrets, units.
#
# cloud-init runs it once, as root, and release.sh after each update. What is there already stays: a
# second run makes no new secrets and formats no disk.
set -eu
umask 022

release=/opt/valerix
machine=$release/deploy/cloud/machine
data=/srv/valerix
settings=$data/shop.env

say() { printf '%s\n' "$*"; }
fail() {
    say "$*" >&2
    exit 1
}

# SITE, SEED, SSH_FROM, DATA_DISK, BUCKET and BUCKET_REGION, as the machine was ordered
# shellcheck source=/dev/null
. /etc/valerix/machine.env
[ -n "$SITE" ] || fail "SITE in /etc/valerix/machine.env is empty: under which name is the shop found?"

put_files_in_place() {
    install -m 644 "$machine"/*.service "$machine"/*.timer /etc/systemd/system/
    install -m 644 "$machine/firewall.nft" /etc/valerix/
    install -m 644 "$machine/apt-upgrades.conf" /etc/apt/apt.conf.d/60valerix
    install -D -m 644 "$machine/docker-needs-disk.conf" /etc/systemd/system/docker.service.d/valerix.conf
    for command in release token check; do
        ln -sf "$machine/$command.sh" "/usr/local/sbin/valerix-$command"
    done
    systemctl daemon-reload
}

# Sessions without an open port, where the provider has them and Debian has not their agent. The shop does without.
let_operators_in() {
    [ "$(cloud-id 2>/dev/null)" = aws ] && [ ! -e /usr/bin/amazon-ssm-agent ] || return 0
    agent=$(mktemp)
    from=https://s3.amazonaws.com/ec2-downloads-windows/SSMAgent/latest/debian_$(dpkg --print-architecture)
    { curl --fail --silent --show-error --retry 3 --output "$agent" "$from/amazon-ssm-agent.deb" \
        && dpkg --install "$agent"; } || say "No session agent: this machine can be entered by SSH only."
    rm -f "$agent"
}

# A disk of its own outlives the machine; without one, everything is on the first disk.
mount_the_data() {
    mkdir -p "$data"
    [ -n "$DATA_DISK" ] && ! mountpoint -q "$data" || return 0
    for _ in $(seq 150); do # it is attached while the machine boots
        [ ! -e "$DATA_DISK" ] || break
        sleep 2
    done
    [ -e "$DATA_DISK" ] || fail "$DATA_DISK is not there after five minutes; nothing was started."
    # 2 is blkid's word for "nothing at all is on it"; whatever else it says, the disk is left as it is.
    found=0
    blkid --probe "$DATA_DISK" >/dev/null || found=$?
    [ "$found" -ne 2 ] || mkfs.ext4 -q -L valerix "$DATA_DISK"
    grep -q "^LABEL=valerix " /etc/fstab || printf '%s\n' \
        "LABEL=valerix $data ext4 defaults,nofail,x-systemd.growfs,x-systemd.device-timeout=300 0 2" >>/etc/fstab
    systemctl daemon-reload
    mount "$data"
}

# The engine keeps everything on that disk.
set_up_the_engine() {
    cmp -s "$machine/daemon.json" /etc/docker/daemon.json && return 0
    install -D -m 644 "$machine/daemon.json" /etc/docker/daemon.json
    systemctl restart docker
}

# Made by the release's own code, in a container without a network. What is there stays, for the databases were made
# with these passwords and take no others; what a later release needs besides is added. The file is moved to its place
# whole or not at all.
make_secrets_once() {
    fresh=$(mktemp -d "$data/shop.env.XXXXXX")
    [ ! -e "$settings" ] || cp -p "$settings" "$fresh/.env"
    image=$(docker build --quiet --build-arg PIP_INDEX_URL --build-arg CA_CERTIFICATE \
        --file deploy/images/Dockerfile .)
    docker run --rm --network none --user 0 --volume "$fresh:/secrets" --volume "$release:/release:ro" \
        --workdir /secrets --env PYTHONPATH=/release "$image" python -m deploy.compose_env
    set_in "$fresh/.env" SITE "$SITE"
    set_in "$fresh/.env" HTTPS_BIND 0.0.0.0
    set_in "$fresh/.env" HTTPS_PORT 443
    set_in "$fresh/.env" SEED "$SEED"
    [ -z "$BUCKET" ] || set_in "$fresh/.env" BACKUP_S3_STORES \
        "'{\"bucket\": {\"bucket\": \"$BUCKET\", \"region\": \"$BUCKET_REGION\"}}'"
    chmod 600 "$fresh/.env"
    sync "$fresh/.env"
    mv "$fresh/.env" "$settings"
    rmdir "$fresh"
    ln -sfn "$settings" "$release/.env"
}

# What the machine was ordered with, not secret: it changes when a snapshot comes to life under another name.
set_in() {
    sed -i "/^$2=/d" "$1"
    printf '%s=%s\n' "$2" "$3" >>"$1"
}

start() {
    systemctl enable --quiet valerix.service
    systemctl enable --quiet --now valerix-check.timer
    systemctl reset-failed valerix.service 2>/dev/null || true
    systemctl reload-or-restart valerix.service \
        || fail "The shop has not come up. What it said: journalctl --unit valerix"
    docker image prune --force >/dev/null
    say "The shop is up: https://$SITE"
}

cd "$release"
put_files_in_place
systemctl enable --quiet valerix-firewall.service
systemctl reload-or-restart valerix-firewall.service
let_operators_in
mount_the_data
set_up_the_engine
make_secrets_once
docker compose build --quiet
start
