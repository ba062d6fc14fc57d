#!/bin/sh
# kubeconfig.sh FILE [NAMESPACE [ACCOUNT [DURATION]]]: writes a kubeconfig for the
# controller's account alone: the cluster of the current context and a token, and
# nothing of the credentials that it is made with. Only its owner may read it.
set -eu
[ $# -ge 1 ] || { echo "usage: kubeconfig.sh FILE [NAMESPACE [ACCOUNT [DURATION]]]" >&2; exit 2; }
file=$1 namespace=${2:-meshbench} account=${3:-controller} duration=${4:-48h}
umask 077
cluster=$(kubectl config view --minify --raw --flatten -o jsonpath='{.clusters[0].cluster}')
token=$(kubectl -n "$namespace" create token "$account" --duration="$duration")
new=$(mktemp "$file.XXXXXX") # 0600, also where the file was there and was not
trap 'rm -f "$new"' EXIT
cat >"$new" <<Y
apiVersion: v1
kind: Config
clusters: [{name: mesh, cluster: $cluster}]
users: [{name: $account, user: {token: $token}}]
contexts: [{name: mesh, context: {cluster: mesh, user: $account, namespace: $namespace}}]
current-context: mesh
Y
mv "$new" "$file"
