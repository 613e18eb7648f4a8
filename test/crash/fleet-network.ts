import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { NetworkNamespace } from './namespace.ts';

/** Where the instance of a fleet listens for its executors. */
export const instanceHost = '10.213.0.1';
export const instancePort = 8443;

/** The network of one executor's machine, which a link connects with that of the instance. */
export interface MachineNetwork {
  readonly address: string;
  /** Returns argv that runs a command in this network; its process has the same pid. */
  readonly enter: (...command: string[]) => string[];
  /** Takes the link down. No end gets an error. */
  readonly cut: () => void;
  readonly heal: () => void;
}

/**
 * The networks of an instance and of the machines of its executors, none of which is that of this machine. Each machine has one link, to
 * the instance's network, and routes for the instance's HTTPS port alone: not for another port, another machine, or the rest of the world. The
 * instance's network has routes for answers from that port alone, so it cannot connect to a machine, and it forwards nothing.
 */
export class FleetNetwork {
  readonly instance: NetworkNamespace;
  readonly machines: readonly MachineNetwork[];
  private readonly namespaces: readonly NetworkNamespace[];

  private constructor(namespaces: NetworkNamespace[], machines: MachineNetwork[]) {
    this.namespaces = namespaces;
    this.instance = namespaces[0] as NetworkNamespace;
    this.machines = machines;
  }

  /** Makes the networks of an instance and of so many machines. */
  static async make(count: number): Promise<FleetNetwork> {
    const instance = await NetworkNamespace.make();
    instance.run('sh', '-euc', 'echo 0 > /proc/sys/net/ipv4/ip_forward');
    instance.run('ip', 'address', 'add', `${instanceHost}/32`, 'dev', 'lo');
    routeOnly(instance, 'sport');
    const machines: MachineNetwork[] = [];
    const namespaces = [instance];
    for (let n = 1; n <= count; n += 1) {
      const machine = await NetworkNamespace.make();
      namespaces.push(machine);
      machines.push(connect(instance, machine, n));
    }
    return new FleetNetwork(namespaces, machines);
  }

  end(): void {
    for (const namespace of this.namespaces) namespace.end();
  }
}

/** Lets a network send TCP from or to the instance's HTTPS port, and nothing else except within itself. */
function routeOnly(namespace: NetworkNamespace, end: 'sport' | 'dport'): void {
  // An answer has a route, and what it answers would have none: the kernel must not ask for one.
  for (const name of ['all', 'default'])
    namespace.run('sh', '-euc', `echo 0 > /proc/sys/net/ipv4/conf/${name}/rp_filter`);
  const port = ['ipproto', 'tcp', end, String(instancePort)];
  namespace.run('ip', 'rule', 'add', 'pref', '10', ...port, 'lookup', 'main');
  namespace.run('ip', 'rule', 'add', 'pref', '20', 'unreachable');
}

function connect(instance: NetworkNamespace, machine: NetworkNamespace, n: number): MachineNetwork {
  const link = `machine${n}`;
  const [near, far] = [`10.213.${n}.1`, `10.213.${n}.2`];
  const peer = ['peer', 'name', 'way', 'netns', String(machine.pid)];
  instance.run('ip', 'link', 'add', link, 'type', 'veth', ...peer);
  instance.run('ip', 'address', 'add', `${near}/30`, 'dev', link);
  instance.run('ip', 'link', 'set', link, 'up');
  machine.run('ip', 'address', 'add', `${far}/30`, 'dev', 'way');
  machine.run('ip', 'link', 'set', 'way', 'up');
  machine.run('ip', 'route', 'add', `${instanceHost}/32`, 'via', near);
  routeOnly(machine, 'dport');
  return {
    address: far,
    enter: (...command) => machine.enter(...command),
    cut: () => instance.run('ip', 'link', 'set', link, 'down'),
    heal: () => instance.run('ip', 'link', 'set', link, 'up'),
  };
}

/** A network in which a test runs programs. */
type Enterable = Pick<NetworkNamespace, 'enter'>;

/** Returns whether a program in a network can open a TCP connection to `host:port`. */
export function canConnect(network: Enterable, host: string, port: number): boolean {
  const script = `exec 3<>/dev/tcp/${host}/${port}`;
  const [program = '', ...args] = network.enter('timeout', '2', 'bash', '-c', script);
  return spawnSync(program, args).status === 0;
}

/** Accepts TCP connections at a port of every address of a network, once `ready` has resolved. */
export function listen(network: Enterable, port: number): { ready: Promise<unknown>; end: () => void } {
  const script = `require('node:net').createServer((socket) => socket.end()).listen(${port}, () => console.log('listens'))`;
  const [program = '', ...args] = network.enter(process.execPath, '--eval', script);
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  return { ready: once(child.stdout, 'data'), end: () => void child.kill('SIGKILL') };
}
