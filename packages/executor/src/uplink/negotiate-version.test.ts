import { protocolHeader, protocolVersion, upstreamVersion } from '@fumehood/protocol';
import { expect, it } from 'vitest';
import type { HttpRequest } from './http.ts';
import { negotiateVersion } from './negotiate-version.ts';

const request = { method: 'GET', path: '/', headers: {}, action: 'ask' } as const;

/** An instance that answers with these versions and statuses, in order; null: with no version. */
function instanceOf(...answers: (readonly [version: string | null, status?: number])[]) {
  const sent: (string | undefined)[] = [];
  const negotiated = negotiateVersion(async ({ headers }: HttpRequest) => {
    sent.push(headers[protocolHeader]);
    const [version, status = 200] = answers.shift() ?? [null];
    return new Response(null, {
      status,
      headers: version === null ? {} : { [protocolHeader]: version },
    });
  });
  return { ...negotiated, sent };
}

it.each([
  ['older', String(protocolVersion - 1), protocolVersion - 1],
  ['newer', String(protocolVersion + 1), protocolVersion],
  ['upstream’s', null, upstreamVersion],
])('speaks with an instance of the %s version as it does', async (_which, theirs, common) => {
  const { http, version, sent } = instanceOf([theirs], [theirs]);
  for (let n = 0; n < 2; n += 1) await http(request);
  expect(version()).toBe(common);
  // The second request names the common version, because an older instance refuses a newer one.
  expect(sent).toEqual([
    String(protocolVersion),
    String(common === upstreamVersion ? protocolVersion : common),
  ]);
});

it('an instance that is more than one version apart is refused, with both versions', async () => {
  const { http } = instanceOf([String(protocolVersion + 2), 426]);
  await expect(http(request)).rejects.toMatchObject({
    code: 'versions_apart',
    message: expect.stringContaining(`version ${protocolVersion + 2}`) as string,
  });
});

it('an instance that is updated between two requests is asked again in the version that it has then', async () => {
  const { http, version, sent } = instanceOf(
    [String(protocolVersion - 1)],
    [String(protocolVersion), 426],
    [String(protocolVersion)],
  );
  await http(request);
  await expect(http(request)).rejects.toMatchObject({ code: 'instance_unreachable' });
  await http(request);
  expect([version(), sent.at(-1)]).toEqual([protocolVersion, String(protocolVersion)]);
});

it('an error without a version, as of a proxy, changes nothing', async () => {
  const { http, version } = instanceOf([String(protocolVersion)], [null, 502]);
  await http(request);
  await http(request);
  expect(version()).toBe(protocolVersion);
});
