#!/usr/bin/env python3
"""Prints what Istio's Helm chart would make, as far as istiod needs it when it
runs as a process on the host.

    istio.py ISTIO-MODULE-FOLDER HOST
"""
import json
import sys

import yaml

charts, host = sys.argv[1] + "/manifests/charts/istio-control/istio-discovery", sys.argv[2]
defaults = yaml.safe_load(open(charts + "/values.yaml"))["_internal_defaults_do_not_set"]
settings = defaults["global"]
settings.update(hub="meshbench.local", tag="local", imagePullPolicy="IfNotPresent")
settings["proxy"]["resources"] = {"requests": {"cpu": "10m", "memory": "40Mi"}, "limits": {"cpu": "2000m", "memory": "512Mi"}}
values = {"global": settings, "sidecarInjectorWebhook": defaults["sidecarInjectorWebhook"], "revision": "",
          "pilot": {"cni": defaults["cni"], "env": {}}, "gateways": defaults.get("gateways") or {}}
# Envoy from upstream lacks Istio's own filters: no telemetry providers.
mesh = {"trustDomain": "cluster.local", "rootNamespace": "istio-system", "enablePrometheusMerge": False, "defaultProviders": {},
        "outboundTrafficPolicy": {"mode": "ALLOW_ANY"},
        "defaultConfig": {"discoveryAddress": "istiod.istio-system.svc:15012", "concurrency": 1, "holdApplicationUntilProxyStarts": True,
                          "proxyMetadata": {"ISTIO_META_DNS_CAPTURE": "true"}}}  # there is no DNS server
injection = {"defaultTemplates": ["sidecar"], "policy": "enabled", "alwaysInjectSelector": [], "neverInjectSelector": [], "injectedAnnotations": {},
             "template": "{{ Template_Version_And_Istio_Version_Mismatched_Check_Installation }}",
             "templates": {"sidecar": open(charts + "/files/injection-template.yaml").read()}}


def meta(name, **labels):
    return {"name": name, "namespace": "istio-system", "labels": {"istio.io/rev": "default", **labels}}


yaml.safe_dump_all([
    {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "istio-system"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("istio"), "data": {"mesh": yaml.safe_dump(mesh), "meshNetworks": "networks: {}"}},
    {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta("istio-sidecar-injector"),
     "data": {"config": yaml.safe_dump(injection), "values": json.dumps(values)}},
    {"apiVersion": "v1", "kind": "Service", "metadata": meta("istiod", app="istiod"), "spec": {"ports": [
        {"name": "grpc-xds", "port": 15010}, {"name": "https-dns", "port": 15012}, {"name": "https-webhook", "port": 443, "targetPort": 15017}]}},
    {"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
     "metadata": {"name": "istiod-host", "namespace": "istio-system", "labels": {"kubernetes.io/service-name": "istiod"}},
     "addressType": "IPv4", "endpoints": [{"addresses": [host], "conditions": {"ready": True}}],
     "ports": [{"name": n, "port": p, "protocol": "TCP"} for n, p in (("grpc-xds", 15010), ("https-dns", 15012), ("https-webhook", 15017))]},
    {"apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
     "metadata": {"name": "istio-sidecar-injector", "labels": {"istio.io/rev": "default", "app": "sidecar-injector"}},
     "webhooks": [{"name": "namespace.sidecar-injector.istio.io", "sideEffects": "None", "failurePolicy": "Fail", "admissionReviewVersions": ["v1"],
                   "clientConfig": {"service": {"name": "istiod", "namespace": "istio-system", "path": "/inject", "port": 443}},
                   "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}],
                   "namespaceSelector": {"matchLabels": {"istio-injection": "enabled"}},
                   "objectSelector": {"matchExpressions": [{"key": "sidecar.istio.io/inject", "operator": "NotIn", "values": ["false"]}]}}]},
], sys.stdout)
