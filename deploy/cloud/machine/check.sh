#!/bin/sh
# What can only be seen from inside the machine, once a day (valerix-check.timer). Exit code 1 if something is wrong,
# so that the unit fails, with what it is in the journal. From outside: valerix cloud check.
set -u

# shellcheck source=/dev/null
. /etc/valerix/machine.env
wrong=0

complain() {
    printf '<3>%s\n' "$*" # journald's way of saying: an error
    wrong=1
}

containers() {
    docker ps --all --filter label=com.docker.compose.project=valerix --filter "$1" --format '{{.Names}}' | xargs
}

systemctl is-active --quiet valerix.service || complain "valerix.service is not up: journalctl --unit valerix"
nft list table inet valerix >/dev/null 2>&1 || complain "The firewall is down: systemctl restart valerix-firewall"
for state in health=unhealthy status=restarting status=dead; do
    found=$(containers "$state")
    [ -z "$found" ] || complain "Containers with $state: $found"
done

curl --fail --silent --show-error --max-time 20 --resolve "$SITE:443:127.0.0.1" --output /dev/null "https://$SITE/" \
    || complain "The shop does not answer under https://$SITE: docker compose logs proxy"
# The proxy renews a certificate when a third of its days is left.
openssl s_client -connect 127.0.0.1:443 -servername "$SITE" </dev/null 2>/dev/null \
    | openssl x509 -noout -checkend 604800 >/dev/null 2>&1 \
    || complain "The certificate of $SITE is missing, or has less than a week to go: docker compose logs proxy"

for disk in / /srv/valerix; do
    used=$(df --output=pcent "$disk" | tail -n 1 | tr -dc 0-9)
    [ "$used" -lt 85 ] || complain "The disk of $disk is $used % full: docker system df"
done
[ "$(timedatectl show --property NTPSynchronized --value)" = yes ] \
    || complain "The clock follows no time server: chronyc sources"
! systemctl is-failed --quiet apt-daily-upgrade.service \
    || complain "Security upgrades fail: journalctl --unit apt-daily-upgrade"

[ "$wrong" -ne 0 ] || echo "All is well."
exit "$wrong"
