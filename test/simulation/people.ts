import type { Network, Reply, WireRequest } from './network.ts';
import type { World } from './world.ts';

interface PeopleDeps {
  readonly world: World;
  readonly network: Network;
  readonly answered: (request: WireRequest, reply: Reply) => void;
}

const retryMs = 700;

/** Creates jobs on the instance for `forMs`, and cancels some of them. Each cancel is repeated until it is answered. */
export function startPeople(deps: PeopleDeps, forMs: number): void {
  const { world } = deps;
  const { random } = world;
  const jobs = random.int(4, 14);
  for (let n = 0; n < jobs; n += 1) {
    const limits = { maxResets: random.int(0, 4), maxRetries: random.int(0, 2) };
    const input = random.chance(0.5) ? 'x'.repeat(random.int(1, 1_500)) : null;
    world.after(random.between(0, forMs), () => {
      send(deps, '/api/jobs', { ...limits, input }, (reply) => {
        if ('gone' in reply || reply.answer.status !== 201) return;
        const { id } = JSON.parse(String(reply.answer.body)) as { id: number };
        for (let times = random.pick([0, 0, 0, 1, 2, 3]); times > 0; times -= 1)
          world.after(random.between(0, 40_000), () => cancel(deps, id));
      });
    });
  }
}

/** Cancels a job, sometimes twice. */
export function cancel(deps: PeopleDeps, id: number): void {
  const { world } = deps;
  if (world.random.chance(0.2)) world.after(world.random.between(0, 5_000), () => cancel(deps, id));
  send(deps, `/api/jobs/${id}/cancel`, {}, (reply) => {
    if ('gone' in reply || reply.answer.status >= 500) world.after(retryMs, () => cancel(deps, id));
  });
}

function send(deps: PeopleDeps, path: string, body: object, reply: (reply: Reply) => void): void {
  const request: WireRequest = {
    from: 'people',
    sentAt: deps.world.time,
    method: 'POST',
    path,
    headers: {},
    body: Buffer.from(JSON.stringify(body)),
  };
  deps.network.send(request, (answer) => {
    deps.answered(request, answer);
    reply(answer);
  });
}
