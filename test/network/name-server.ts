import { createSocket } from 'node:dgram';
import packet from 'dns-packet';

/** Answers questions for these names on UDP port 53 of an address, a name of several addresses with one after the other. Resolves when it does. `onAsked` gets each name that it is asked for. */
export async function serveNames(
  address: string,
  addresses: Readonly<Record<string, string | readonly string[]>>,
  onAsked: (name: string) => void = () => {},
): Promise<void> {
  const socket = createSocket('udp4');
  const counts = new Map<string, number>();
  socket.on('message', (message, from) => {
    const { id = 0, questions = [] } = packet.decode(message);
    const name = questions[0]?.name ?? '';
    onAsked(name);
    const count = counts.get(name) ?? 0;
    counts.set(name, count + 1);
    const some = [addresses[name] ?? []].flat();
    const data = some[count % some.length];
    const ttl = some.length > 1 ? 0 : 60; // nobody keeps an answer that changes
    const answers = data === undefined ? [] : [{ type: 'A' as const, name, ttl, data }];
    const flags = data === undefined ? 3 : 0;
    socket.send(packet.encode({ type: 'response', id, flags, questions, answers }), from.port, from.address);
  });
  await new Promise<void>((resolve) => socket.bind(53, address, resolve));
}
