#!/bin/bash
# inside.sh COMMAND...: runs a command in the cluster's network namespace with
# the administrator's kubeconfig.
. "$(dirname "$0")/env.sh"
[ -e /run/netns/$NETNS ] || { echo "cluster: nothing runs; start it with 'make cluster-up'" >&2; exit 1; }
export KUBECONFIG=$PKI/admin.kubeconfig
exec nsenter --net=/run/netns/$NETNS "$@"
