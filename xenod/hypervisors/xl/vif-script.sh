#!/bin/sh
# Joins a domain's vif to its link: xl runs this as root for each vif, with the back end's place in xenstore (XENBUS_PATH) and the
# device's name (vif). The `bridge` of its configuration is the link's network namespace, and the bridge in it is tap0
# (links/guest-link.ts), whose filter lets nothing pass but frames of this guest's (L1). See xl-network-configuration(5).
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

fail() {
  xenstore-write "$XENBUS_PATH/hotplug-error" "$1" "$XENBUS_PATH/hotplug-status" error
  exit 1
}

case $1 in
  online)
    namespace=$(xenstore-read "$XENBUS_PATH/bridge") || fail "no network namespace was named"
    ip link set "$vif" netns "$namespace" || fail "$vif cannot be moved into the network namespace $namespace"
    ip -n "$namespace" link set "$vif" master tap0 up || fail "the network namespace $namespace has no link"
    xenstore-write "$XENBUS_PATH/hotplug-status" connected
    ;;
  # The kernel takes a vif away with its domain.
  *) ;;
esac
