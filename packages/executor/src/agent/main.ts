import { arch } from 'node:os';
import {
  factsOf,
  openFileCache,
  readConfig,
  remoteSpawn,
  reportFailed,
  reportStarted,
  sendMessage,
  logLines,
  systemClock,
} from '@fumehood/base';
import { archSchema } from '@fumehood/protocol';
import { pino } from 'pino';
import { remoteVms } from '../helper/remote-vms.ts';
import { sweepWork } from '../janitor/janitor.ts';
import { guestLimits } from '../runtime/microvm/guest-limits.ts';
import { microvmRuntime } from '../runtime/microvm/run.ts';
import { connect } from '../uplink/connect.ts';
import { readCredential } from '../uplink/credential.ts';
import { openHttp } from '../uplink/http.ts';
import { applyRoute } from '../uplink/network-route.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';
import { openUpstreamQueue } from '../uplink/upstream-queue.ts';
import { makeAgent } from './agent.ts';
import { healthy } from './health.ts';
import { machineOf } from './machine.ts';
import { agentConfigSchema } from './config.ts';
import { watchLoopDelay } from './loop-delay.ts';
import { openReservations } from './reservations.ts';

/** The agent, an unprivileged child of the helper: `main.ts CONFIG`. The first SIGTERM drains it, the second one stops it. */
const log = pino({ base: null }, logLines);
try {
  // The helper's messages are lost until these two listen, so they come first.
  const spawn = remoteSpawn();
  const vms = remoteVms();
  const clock = systemClock;
  const config = await readConfig(agentConfigSchema, process.argv[2] ?? '');
  const { directories, instanceUrl } = config;
  const credential = await readCredential(config.credentialFile);
  const caches = [directories.disks, directories.blobs];
  await sweepWork({ spawn, log, caches, work: directories.work });
  const cache = openFileCache({
    directories: caches,
    maxBytes: config.cacheBytes,
    onTrouble: (facts, message) => log.warn(facts, message),
  });
  await cache.trim();
  await applyRoute(instanceUrl, config.route);
  const http = openHttp(instanceUrl);
  const executor = {
    name: config.name,
    version: config.version,
    credential,
    tiers: config.tiers,
    arch: archSchema.parse(arch()),
    labels: config.labels,
    network: config.network,
    machine: await machineOf(directories.work),
  };
  const onTrouble = (message: string) => log.warn(message);
  // Without its helper the agent cannot destroy a VM. The launchers kill the VMs when their leases end, and other attempts follow.
  process.on('disconnect', () => process.exit(1));
  const exitAtOnce = () => process.exit(0);
  process.on('SIGTERM', exitAtOnce);
  await reportStarted({});
  const { native } = await connect(
    { http, executor, queues: config.queues },
    clock,
    new AbortController().signal,
    onTrouble,
  );
  await sendMessage(process, { type: 'agent.connected' });
  log.info({ instanceUrl, name: config.name, native }, 'connected to the instance');
  process.off('SIGTERM', exitAtOnce);
  const health = { current: healthy };
  const queues = [config.queues].flat();
  const single = typeof config.queues === 'string' ? config.queues : null;
  const defaultResources = config.upstream.resources;
  const queue = native
    ? openQueue(http, executor, () => health.current.trouble)
    : openUpstreamQueue(http, executor, single, defaultResources);
  const leases = keepLeases({ queue, queues, clock, onTrouble });
  const executorName = config.name;
  const agent = makeAgent({
    runtime: microvmRuntime({ ...config, guestLimits, executorName, credential, vms, spawn, clock, cache }),
    clock,
    executorName,
    http,
    leases,
    log,
    queue,
    queues,
    reservations: openReservations(config.resources),
    defaultResources,
    health,
  });
  let signals = 0;
  process.on('SIGTERM', () => {
    signals += 1;
    if (signals === 1) agent.drain();
    else agent.stop();
  });
  const endWatch = watchLoopDelay(log);
  await agent.run();
  endWatch();
  process.exit(0);
} catch (error) {
  log.error({ error: factsOf(error) }, 'the agent did not start');
  await reportFailed(error);
  process.exit(1);
}
