//! The pages of FW7xx: what this machine and process have run out of.

use super::Page;
use crate::refusal::Code;

pub(super) const PAGES: &[Page] = &[
    Page {
        code: Code::OutOfDescriptors,
        meaning: "The process has no file descriptors left, so a new connection could not be accepted or made. \
                  Accepting pauses briefly and goes on as soon as connections end; nothing that is served is cut.",
        cause: "More connections at once than the limit of open files allows. Each forwarded connection takes two, and \
                with bulk data up to six.",
        remedy: "Raise the limit (`LimitNOFILE=` in the unit, `ulimit -Hn` in a shell); foreword raises its soft limit \
                 to the hard one at start. `process_open_fds` and `process_max_fds` show how near it is.",
    },
    Page {
        code: Code::ConnectionLimit,
        meaning: "The listener, or the process, has as many connections as it may have. The new one was closed.",
        cause: "A flood, clients that never close, or a limit that is too small for the load. Unless \
                `max.connections` is set, the limit follows from the limit of open files.",
        remedy: "Raise `max = { connections = … }` on the listener or the limit of open files, or shorten \
                 `timeout = { idle = … }` so that idle connections go sooner.",
    },
    Page {
        code: Code::AddressTaken,
        meaning: "An address that the file asks for cannot be bound: another program listens there, it does not belong \
                  to this machine, the port needs a right that the process does not have, or the folder of a unix socket is missing.",
        cause: "A second foreword or the old web server is still running, the address of another machine was copied, \
                a port below 1024 is bound without `CAP_NET_BIND_SERVICE`, or nobody has made the folder of the socket: the \
                gateway makes none, since its owner and rights are nobody's to guess.",
        remedy: "`ss -ltnp` shows who listens. `RuntimeDirectory=foreword` in the unit makes `/run/foreword` at each start. \
                 At start nothing is bound unless everything can be; at reload the old \
                 configuration goes on.",
    },
    Page {
        code: Code::LogLinesLost,
        meaning: "Access-log lines could not be written as fast as they came, the bounded queue was full, and lines \
                  were dropped. Traffic goes on untouched; `foreword_access_log_lines_lost_total` counts them.",
        cause: "A full disk, a pipe whose reader stands still, a syslog server that is gone, or a disk slower than \
                the traffic.",
        remedy: "The log also holds the error that writing met, if there was one. Make room or restart the reader: \
                 writing is tried again every second by itself.",
    },
    Page {
        code: Code::Panicked,
        meaning: "The code that served a connection met a state that it holds to be impossible and gave up. That \
                  connection was cut; all others go on.",
        cause: "A mistake in foreword. It is never right, whatever the peer sent.",
        remedy: "Please report it with the line that holds `panicked at` and, if you can, with the bytes that \
                 the peer sent.",
    },
    Page {
        code: Code::FlowLimit,
        meaning: "The listener had as many flows as `max.flows` allows (16384 unless set otherwise), or the process as \
                  many sockets. The idlest flow whose client had not spoken since it was answered was ended to make \
                  room; where there was none, the new datagram was dropped.",
        cause: "More clients within `timeout.idle` than the limit, or a flood from forged addresses: whoever sends from \
                an address that is not his gets no answer, so his flows are the first to go.",
        remedy: "Raise `max = { flows = … }`, shorten `timeout = { idle = … }`, or raise the limit of open files: each \
                 flow has a socket of its own. `foreword_connections_open{proto=\"udp\"}` shows how many there are.",
    },
    Page {
        code: Code::DatagramTooLarge,
        meaning: "A datagram, with the header in front of it, is larger than the path to where it should go takes, or \
                  than a datagram can be (65507 bytes). It was dropped whole: nothing is sent in fragments.",
        cause: "The sender fills its packets to the brim, and the header (28 bytes over IPv4, 52 over IPv6, TLVs besides, \
                38 for the Simple Proxy Protocol) does not fit on top; or an answer is larger than the client's path.",
        remedy: "Raise the MTU between here and the endpoint, send fewer TLVs, or have the peers send less: for DNS, \
                 `edns-buffer-size: 1232` and the like. The line names the sizes.",
    },
    Page {
        code: Code::FewDescriptors,
        meaning: "The limit of open files, raised as far as the process may, holds fewer connections than the file allows: than \
                  `max = { connections = … }` of all listeners together, for datagrams `max.flows`, or, where a listener has none, than a hundred. The gateway \
                  runs, and beyond what the limit holds new connections are closed (FW702). With a limit that holds not even the workers and what they \
                  listen on it does not start.",
        cause: "A hard limit that was set for other programs, in the unit, in a container or in `limits.conf`, or a \
                `max.connections` larger than meant.",
        remedy: "Raise the limit to what the line says (`LimitNOFILE=` in the unit, `--ulimit nofile=` of a container, \
                 `ulimit -Hn` in a shell) and start again, since it is read at the start alone; or lower `max.connections`, or `max.flows` of a listener for datagrams.",
    },
    Page {
        code: Code::LogNotOpened,
        meaning: "The file that `[log.access]` names cannot be opened for writing. The gateway does not start; a reload that \
                  names it changes nothing.",
        cause: "A folder that is missing, which is never made, since its owner and rights are nobody's to guess; a folder or \
                file that the user of the gateway may not write to; or a named pipe that nobody reads.",
        remedy: "Make the folder, owned by that user (`LogsDirectory=` in the unit does so), or write elsewhere.",
    },
    Page {
        code: Code::DatagramsUnread,
        meaning: "The kernel has datagrams for a listener, or should wait for some, and gives an error instead. Reading pauses \
                  for 100 ms and is tried again for as long as it fails; what comes meanwhile waits in the socket's buffer, \
                  and is lost where that is full. Each failure is counted, and each worker tells of it once a minute at most.",
        cause: "A machine without memory for its sockets; seldom anything else.",
        remedy: "The line has the error. `dmesg` and `/proc/net/sockstat` show whether memory is short (`net.ipv4.udp_mem`, \
                 the memory limit of the unit or container). Where it goes on with memory to spare, please report it.",
    },
    Page {
        code: Code::RateLimited,
        meaning: "`rate_limit` of a rule or of the listener had let as many pass for this key as it lets in that time. A \
                  rule's request was answered with its status, 429 unless it says another, and `Retry-After`; in tcp \
                  mode, and by the listener, the connection was closed. The access log has it, with the rule's name \
                  where it was a rule's; in http mode a connection that the listener closed had no request, and so it is \
                  told and counted, and has no line there.",
        cause: "A client, or a network behind one address, that asks faster than the rule allows; a limit that is too \
                small for a page with many parts; or a key that many clients share, such as the address of a proxy \
                whose word is not believed.",
        remedy: "Raise `requests` (of a listener: `connections`) for the long run, or `burst` for what comes at once. Look \
                 at `client.ip` in the access log: if it is the balancer's, put that into a `[trust.NAME]` group first.",
    },
    Page {
        code: Code::TooManyAtOnce,
        meaning: "`limit_connections` of a rule or of the listener lets as many go on at once for this key as go on already. \
                  A rule's request was answered with its status, 429 unless it says another; in tcp mode, and by the \
                  listener, the connection was closed before anything behind its header was read. What is over makes \
                  room at once.",
        cause: "A client, or a network behind one address, that opens more connections than meant; a limit that is too \
                small for browsers, which open six for each host over HTTP/1.1; or a key that many clients share, such as \
                the address of a proxy whose word is not believed.",
        remedy: "Raise `max`. Look at `client.ip` in the access log: if it is the balancer's, put that into a \
                 `[trust.NAME]` group first.",
    },
    Page {
        code: Code::PasswordsWaiting,
        meaning: "A request gave a password that had to be checked, and 64 others were waiting for that, or 8 of the same client, \
                  or its hash was not there after ten seconds. Answered 503 with `Retry-After`. Whoever was found right within \
                  five minutes is not affected.",
        cause: "Somebody who tries many passwords, or many users who come at once after a restart or reload, with \
                hashes that take long.",
        remedy: "Give the rule a `rate_limit`, so that guesses end before they are checked. A lower cost makes hashes \
                 faster: about a tenth of a second, such as bcrypt with a cost of 10, is usual.",
    },
    Page {
        code: Code::MemoryShort,
        meaning: "The process uses more memory than `max_memory` allows, or the cgroup more than 85 % (but for 16 MiB, where that is less) of what it may have. Until \
                  less is in use, new connections are closed, each beyond one for every 512 KiB of the mark; HTTP/2 requests beside \
                  another one of their connection are refused; connections end with their present answer; and idle ones are closed, those \
                  first that were idle longest. Where that is not enough within some looks, those are cut off who owe a header, a \
                  handshake or the rest of a head, or wait for an endpoint; then requests without an answer of which a body does not \
                  move, or behind which more has come; and near the limit of the cgroup connections with the most requests that have no \
                  answer. Answers that have begun, and tunnels, are not cut. The same is told where memory in use cannot be \
                  read; nothing is refused then.",
        cause: "A flood of connections that send much and never finish, more clients than the memory is meant for, or something else in \
                the same cgroup.",
        remedy: "`foreword_memory_held_bytes` and `foreword_memory_mark_bytes` show how near it is. Give the container or the unit more \
                 (`MemoryMax=`), let fewer in (`max.connections`, `limit_connections`), or shorten `timeout.head` and `timeout.idle`.",
    },
    Page {
        code: Code::QueueFull,
        meaning: "The endpoints of a cluster have as many connections as `max = { connections = … }` or their own \
                  `max_connections` allow, and `max = { queue = … }` others wait for one to end. Answered 503 in http mode, \
                  closed in tcp mode.",
        cause: "More clients than the endpoints are meant to serve, or endpoints that have become slow.",
        remedy: "`foreword_endpoint_in_use` shows how busy each endpoint is, `foreword_cluster_queue` how many wait. Add \
                 endpoints, or raise the limits if the endpoints can bear it.",
    },
    Page {
        code: Code::QueueDeadline,
        meaning: "The endpoints of a cluster have as many connections as they may have, and none of them ended within \
                  `timeout = { queue = … }` (5 s unless set otherwise). Answered 503 in http mode, closed in tcp mode.",
        cause: "More clients than the endpoints are meant to serve, connections that stay open for long, or endpoints that \
                have become slow.",
        remedy: "`time.queue` in the access log shows how long those waited who were served. Add endpoints, or raise the \
                 limits or the time.",
    },
];
