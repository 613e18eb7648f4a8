import { readConfig, receiveMessages, reportStarted, sendMessage, systemClock } from '@fumehood/base';
import { Aliases } from './aliases.ts';
import { ConnectionBudget, ownConnectionsMax } from './budget.ts';
import { openDialer } from './dialer.ts';
import { type Gateway, openGateway, type Permitted } from './gateway.ts';
import { goesThrough } from './http-proxy.ts';
import { guestLimits } from './limits.ts';
import { type EgressAnswer, egressCallSchema, egressConfigSchema } from './messages.ts';
import { openResolver, reachesSixAlone } from './resolver.ts';

/**
 * The process that serves the networks of an executor's guests, a child of its helper without any privilege: it decides, dials and
 * keeps the receipts, and holds the credentials of the broker as long as their VM lives: `main.ts CONFIG`.
 */
const config = await readConfig(egressConfigSchema, process.argv[2] ?? '');
const { nameServers, httpProxy, certificates, memoryBytes } = config;
const budget = new ConnectionBudget(ownConnectionsMax(memoryBytes));
const [fourFirst, sixFirst] = [openResolver(nameServers, false), openResolver(nameServers, true)];
const dial = openDialer(httpProxy);
const hasProxy = (name: string) => httpProxy !== null && goesThrough(httpProxy, name, 0);
const answer = (message: EgressAnswer) => void sendMessage(process, message);

interface Network {
  readonly permitted: Permitted;
  readonly handles: Partial<Record<'connections' | 'questions', object>>;
  gateway: Promise<Gateway> | null;
}
const networks = new Map<number, Network>();

let isTrusting = false;
/** Has the broker trust authorities besides those of Node. Done for the first guest that uses it: HTTP and TLS take 8 MB of memory. */
function trustAuthorities(): void {
  if (isTrusting) return;
  isTrusting = true;
  const { getCACertificates, setDefaultCACertificates } = process.getBuiltinModule('node:tls');
  // This process sees no file of the machine, so those of the machine are among `certificates`.
  setDefaultCACertificates([...new Set([...getCACertificates('bundled'), ...certificates])]);
}

receiveMessages(process, egressCallSchema, (call, handle) => {
  const { id } = call;
  if (call.type === 'network.open') {
    const { policy, privateHosts, own, ceiling, broker } = call;
    if (broker.length > 0) trustAuthorities();
    const permitted = { policy, privateHosts, own: new Set(own), ceiling, broker };
    networks.set(id, { permitted, handles: {}, gateway: null });
    return;
  }
  const network = networks.get(id);
  if (!network) return;
  if (call.type === 'network.close') {
    networks.delete(id);
    void closeNetwork(network).finally(() => answer({ type: 'network.closed', id }));
    return;
  }
  network.handles[call.name] = handle as object;
  const { connections, questions } = network.handles;
  if (!connections || !questions) return;
  network.gateway = openGateway({ connections, questions }, network.permitted, {
    clock: systemClock,
    resolve: reachesSixAlone() ? sixFirst : fourFirst,
    dial,
    hasProxy,
    aliases: new Aliases(),
    limits: guestLimits,
    budget,
    onReceipt: (receipt) => answer({ type: 'network.receipt', id, receipt }),
  });
  network.gateway.catch(() => {}); // the guest's connections are reset
});

async function closeNetwork({ gateway }: Network): Promise<void> {
  await (await gateway)?.close();
}

process.on('disconnect', () => process.exit(0));
await reportStarted({});
