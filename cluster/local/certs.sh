#!/bin/bash
# certs.sh: certificate authority, certificates and kubeconfigs of the local
# control plane, good for 30 days. Elliptic curves: ten times as fast to make.
. "$(dirname "$0")/env.sh"
umask 077 # keys are nobody else's
mkdir -p "$PKI" && cd "$PKI"
[ -f admin.kubeconfig ] && openssl x509 -checkend 86400 -noout -in apiserver.crt >/dev/null 2>&1 && exit 0
quiet() { openssl "$@" 2>/dev/null; }

quiet ecparam -genkey -noout -name prime256v1 -out ca.key
quiet req -x509 -new -key ca.key -subj /CN=meshbench-ca -days 30 -out ca.crt
quiet ecparam -genkey -noout -name prime256v1 -out sa.key
quiet ec -in sa.key -pubout -out sa.pub

# certificate NAME SUBJECT [EXTENSION]
certificate() {
  quiet ecparam -genkey -noout -name prime256v1 -out "$1.key"
  quiet req -new -key "$1.key" -subj "$2" -out "$1.csr"
  printf 'extendedKeyUsage=clientAuth,serverAuth\n%s\n' "${3:-}" >"$1.ext"
  quiet x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 30 -extfile "$1.ext" -out "$1.crt"
}
certificate apiserver /CN=kube-apiserver "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$HOST,IP:10.96.0.1"
certificate kubelet /O=system:nodes/CN=system:node:n1 "subjectAltName=DNS:n1,IP:$HOST"
certificate controller-manager /CN=system:kube-controller-manager
certificate scheduler /CN=system:kube-scheduler
certificate admin /O=system:masters/CN=admin

for user in kubelet controller-manager scheduler admin; do
  config=$user.kubeconfig
  kubectl config --kubeconfig=$config set-cluster local --server="https://$HOST:6443" --certificate-authority=ca.crt --embed-certs >/dev/null
  kubectl config --kubeconfig=$config set-credentials user --client-certificate=$user.crt --client-key=$user.key --embed-certs >/dev/null
  kubectl config --kubeconfig=$config set-context local --cluster=local --user=user >/dev/null
  kubectl config --kubeconfig=$config use-context local >/dev/null
done
