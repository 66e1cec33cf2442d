"""Envoy's configuration: long, and therefore a file of its own."""

TYPE = "type.googleapis.com/envoy.extensions."


def envoy_config(setup, office):
    if setup.role == "udp":
        return {"static_resources": {"listeners": [datagram_listener(setup)], "clusters": [cluster(setup)]}}
    tcp = setup.role == "tcp"
    listener = {
        "name": "bench",
        "address": socket_address(f"127.0.0.1:{setup.port}"),
        "filter_chains": [{"filters": [tcp_proxy(setup) if tcp else http_manager(setup, office)]}],
    }
    if not tcp:
        listener["listener_filters"] = [
            typed("envoy.filters.listener.proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol")
        ]
    if setup.secure:
        listener["filter_chains"][0]["transport_socket"] = downstream_tls(setup)
    return {"static_resources": {"listeners": [listener], "clusters": [cluster(setup)]}}


def typed(name, kind, **values):
    return {"name": name, "typed_config": {"@type": TYPE + kind, **values}}


def socket_address(address):
    host, port = address.rsplit(":", 1)
    return {"socket_address": {"address": host, "port_value": int(port)}}


def access_log(setup):
    return [typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=str(setup.log))]


def tcp_proxy(setup):
    return typed(
        "envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
        stat_prefix="edge", cluster="origin", access_log=access_log(setup), idle_timeout="600s",
    )


def datagram_listener(setup):
    """Envoy adds no header to datagrams."""
    address = socket_address(f"127.0.0.1:{setup.port}")
    address["socket_address"]["protocol"] = "UDP"
    route = typed("route", "filters.udp.udp_proxy.v3.Route", cluster="origin")
    proxy = typed(
        "envoy.filters.udp_listener.udp_proxy", "filters.udp.udp_proxy.v3.UdpProxyConfig",
        stat_prefix="edge", matcher={"on_no_match": {"action": route}}, access_log=access_log(setup), idle_timeout="2s",
    )
    return {"name": "bench", "address": address, "udp_listener_config": {}, "listener_filters": [proxy]}


def http_manager(setup, office):
    ranges = [
        {"remote_ip": {"address_prefix": address, "prefix_len": int(length)}}
        for address, length in (network.split("/") for network in office)
    ]
    admin = {
        "permissions": [{"url_path": {"path": {"prefix": "/admin"}}}],
        "principals": [{"not_id": {"or_ids": {"ids": ranges}}}],
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "600s"}}
    return typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="web", codec_type="HTTP2" if setup.role == "h2" else "HTTP1", use_remote_address=True,
        access_log=access_log(setup),
        route_config={"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        http_filters=[
            typed("envoy.filters.http.rbac", "filters.http.rbac.v3.RBAC",
                  rules={"action": "DENY", "policies": {"admin": admin}}),
            typed("envoy.filters.http.router", "filters.http.router.v3.Router"),
        ],
    )


def downstream_tls(setup):
    return typed(
        "envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": ["h2" if setup.role == "h2" else "http/1.1"],
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "ecdh_curves": ["X25519"]},
            "tls_certificates": [{
                "certificate_chain": {"filename": f"{setup.certificates}/bench.crt"},
                "private_key": {"filename": f"{setup.certificates}/bench.key"},
            }],
        },
    )


def cluster(setup):
    made = {
        "name": "origin",
        "type": "STATIC",
        "connect_timeout": "5s",
        "circuit_breakers": {"thresholds": [
            {"max_connections": 20000, "max_pending_requests": 20000, "max_requests": 20000}
        ]},
        "load_assignment": {"cluster_name": "origin", "endpoints": [
            {"lb_endpoints": [{"endpoint": {"address": socket_address(setup.origin)}}]}
        ]},
    }
    if setup.role == "tcp":
        made["transport_socket"] = typed(
            "envoy.transport_sockets.upstream_proxy_protocol",
            "transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
            config={"version": "V2"},
            transport_socket=typed("envoy.transport_sockets.raw_buffer", "transport_sockets.raw_buffer.v3.RawBuffer"),
        )
    return made
