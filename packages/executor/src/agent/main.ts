import { arch } from 'node:os';
import { factsOf, remoteSpawn, stderrLines, systemClock } from '@fumehood/base';
import { archSchema } from '@fumehood/protocol';
import { pino } from 'pino';
import { readConfig } from '../config.ts';
import { remoteVms } from '../helper/remote-vms.ts';
import { sweepWork, trimCaches } from '../janitor/janitor.ts';
import { microvmRuntime } from '../runtime/microvm/run.ts';
import { connect } from '../uplink/connect.ts';
import { readCredential } from '../uplink/credential.ts';
import { openHttp } from '../uplink/http.ts';
import { takeRoute } from '../uplink/network-route.ts';
import { keepLeases } from '../uplink/leases.ts';
import { openQueue } from '../uplink/queue.ts';
import { openUpstreamQueue } from '../uplink/upstream-queue.ts';
import { makeAgent } from './agent.ts';
import { agentConfigSchema } from './config.ts';
import { openReservations } from './reservations.ts';

/** How often the caches are brought below their bound. */
const trimEveryMs = 600_000;

/** The executor's unprivileged process, a child of the helper: `main.ts CONFIG`. SIGTERM drains, a second one stops. */
const log = pino({ base: null }, stderrLines);
try {
  // First of all: the helper's messages are lost until somebody listens.
  const spawn = remoteSpawn();
  const vms = remoteVms();
  const clock = systemClock;
  const config = await readConfig(agentConfigSchema, process.argv[2] ?? '');
  const { directories, tiers, upstream, vmm, cacheBytes } = config;
  const credential = await readCredential(config.credentialFile);
  const caches = [directories.disks, directories.blobs];
  const janitor = { clock, caches, work: directories.work, cacheBytes };
  await sweepWork(janitor);
  await takeRoute(config.instanceUrl, config.route);
  const http = openHttp(config.instanceUrl);
  const executor = {
    ...{ name: config.name, version: config.version, credential, tiers },
    arch: archSchema.parse(arch()),
    labels: config.labels,
  };
  const onTrouble = (message: string) => log.warn(message);
  // Without its helper it can end no VM: their leases do, and the jobs are tried again elsewhere.
  process.on('disconnect', () => process.exit(1));
  process.send?.('working');
  const leave = () => process.exit(0);
  process.on('SIGTERM', leave);
  const { native } = await connect(
    { http, executor, queues: config.queues },
    clock,
    new AbortController().signal,
    onTrouble,
  );
  process.off('SIGTERM', leave);
  const queues = [config.queues].flat();
  const single = typeof config.queues === 'string' ? config.queues : null;
  const jobRoom = upstream.resources;
  const queue = native ? openQueue(http, executor) : openUpstreamQueue(http, executor, single, jobRoom);
  const leases = keepLeases({ queue, queues, clock, onTrouble });
  const { instanceUrl, name: executorName, uploadClient, registries, registryAuthFile } = config;
  const host = { vms, vmm, spawn, clock, credential, upstream, tiers, directories };
  const images = { registries, registryAuthFile };
  const runtime = microvmRuntime({ ...host, ...images, instanceUrl, executorName, uploadClient });
  const room = openReservations(config.resources);
  const agent = makeAgent({
    ...{ runtime, clock, executorName, http, leases, log, queue, queues, room, jobRoom },
  });
  let signals = 0;
  process.on('SIGTERM', () => {
    signals += 1;
    if (signals === 1) agent.drain();
    else agent.stop();
  });
  const trimming = setInterval(() => {
    trimCaches(janitor).catch((error: unknown) => log.warn({ error: factsOf(error) }, 'the caches grow'));
  }, trimEveryMs);
  await agent.run();
  clearInterval(trimming);
  process.exit(0);
} catch (error) {
  log.error({ error: factsOf(error) }, 'the agent did not start');
  process.exit(1);
}
