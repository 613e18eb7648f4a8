import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import packet from 'dns-packet';

/**
 * What an executor's network has in a test: a name server and a mirror, at an address that is not on the public internet. Prints "ready", and
 * then each name that it is asked for.
 */
const [address = ''] = process.argv.slice(2);
const addresses: Readonly<Record<string, string>> = {
  'mirror.test': address,
  'private.test': '10.1.2.3',
  'metadata.test': '169.254.169.254',
};
createServer((socket) => {
  socket.on('error', () => {}); // the guest is gone
  socket.end('from the mirror');
}).listen(8080, address, () => {
  const names = createSocket('udp4');
  names.on('message', (message, from) => {
    const { id, questions } = packet.decode(message);
    const name = questions?.[0]?.name ?? '';
    console.log(name);
    const data = addresses[name];
    const answers = data === undefined ? [] : [{ type: 'A' as const, name, ttl: 60, data }];
    const flags = data === undefined ? 3 : 0;
    const answer = packet.encode({
      type: 'response',
      id: id ?? 0,
      flags,
      questions: questions ?? [],
      answers,
    });
    names.send(answer, from.port, from.address);
  });
  names.bind(53, address, () => console.log('ready'));
});
