//! A name server on loopback, for tests: it answers what it is told to, when it is told to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{RData, Record, RecordType};

/// What the server knows. It keeps silent about a name for as long as it does not know it.
#[derive(Clone, Default)]
pub(crate) struct Server {
    zone: Arc<(Mutex<Zone>, Condvar)>,
    port: u16,
}

#[derive(Default)]
struct Zone {
    known: HashMap<String, (Vec<IpAddr>, u32)>,
    services: HashMap<String, (Vec<SRV>, u32)>,
    asked: Vec<String>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = Self { zone: Arc::default(), port: socket.local_addr().unwrap().port() };
        let serving = server.clone();
        thread::spawn(move || {
            let mut packet = [0; 512];
            while let Ok((len, from)) = socket.recv_from(&mut packet) {
                serving.clone().hear(&packet[..len], from, socket.try_clone().unwrap());
            }
        });
        server
    }

    /// Knows from now on what a name resolves to. No address at all: the name does not exist.
    pub(crate) fn knows(&self, host: &str, addresses: &[&str], ttl: u32) {
        let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let (zone, changed) = &*self.zone;
        zone.lock().unwrap().known.insert(host.to_owned(), (addresses, ttl));
        changed.notify_all();
    }

    /// Knows from now on who offers a service: priority, weight, port and host of each.
    pub(crate) fn knows_service(&self, service: &str, offers: &[(u16, u16, u16, &str)], ttl: u32) {
        let offer = |(priority, weight, port, host): &(u16, u16, u16, &str)| {
            SRV::new(*priority, *weight, *port, host.parse().unwrap())
        };
        let (zone, changed) = &*self.zone;
        let offers = offers.iter().map(offer).collect();
        zone.lock().unwrap().services.insert(service.to_owned(), (offers, ttl));
        changed.notify_all();
    }

    /// Waits until somebody asked for a name.
    pub(crate) fn was_asked_for(&self, host: &str) {
        let (zone, changed) = &*self.zone;
        let unasked = |zone: &mut Zone| !zone.asked.iter().any(|asked| asked == host);
        drop(changed.wait_while(zone.lock().unwrap(), unasked).unwrap());
    }

    /// A resolver that asks this server and nobody else.
    pub(crate) fn resolver(&self) -> Result<TokioResolver, NetError> {
        let mut connection = ConnectionConfig::udp();
        connection.port = self.port;
        let mut server = NameServerConfig::udp(Ipv4Addr::LOCALHOST.into());
        server.connections = vec![connection];
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        super::system::resolver(TokioResolver::builder_with_config(config, TokioRuntimeProvider::default()))
    }

    /// Answers a question, on a thread of its own: the answer may be long in coming.
    fn hear(self, packet: &[u8], from: SocketAddr, socket: UdpSocket) {
        let question = Message::from_vec(packet).unwrap();
        thread::spawn(move || {
            let answer = self.answer(&question);
            // Whoever asked may be gone.
            let _gone = socket.send_to(&answer.to_vec().unwrap(), from);
        });
    }

    fn answer(&self, question: &Message) -> Message {
        let query = &question.queries[0];
        let host = query.name().to_utf8().trim_end_matches('.').to_owned();
        let (zone, changed) = &*self.zone;
        let mut zone = zone.lock().unwrap();
        zone.asked.push(host.clone());
        changed.notify_all();
        let is_known = |zone: &Zone| zone.known.contains_key(&host) || zone.services.contains_key(&host);
        let zone = changed.wait_while(zone, |zone| !is_known(zone)).unwrap();

        let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
        answer.queries.push(query.clone());
        if let Some((offers, ttl)) = zone.services.get(&host) {
            for offer in offers.iter().filter(|_| query.query_type() == RecordType::SRV) {
                let data = RData::SRV(offer.clone());
                answer.add_answer(Record::from_rdata(query.name().clone(), *ttl, data));
            }
            return answer;
        }
        let (addresses, ttl) = &zone.known[&host];
        if addresses.is_empty() {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        for address in addresses {
            let data = match (address, query.query_type()) {
                (IpAddr::V4(address), RecordType::A) => RData::A((*address).into()),
                (IpAddr::V6(address), RecordType::AAAA) => RData::AAAA((*address).into()),
                _ => continue,
            };
            answer.add_answer(Record::from_rdata(query.name().clone(), *ttl, data));
        }
        answer
    }
}
