#!/bin/sh
# Create the namespace and the search attributes that orders carry, if they are not there yet.
set -eu
temporal operator namespace describe -n default >/dev/null 2>&1 \
    || temporal operator namespace create -n default --retention 168h
for attribute in OrderStatus:Keyword OrderStep:Keyword OrderSkus:KeywordList; do
    name=${attribute%%:*}
    temporal operator search-attribute list -n default | grep -qw "$name" \
        || temporal operator search-attribute create -n default --name "$name" --type "${attribute##*:}"
done
