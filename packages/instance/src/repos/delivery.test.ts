import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { changesRefs, digestOf, isSigned, readDelivery, secondsOff } from './delivery.ts';

const secret = "It's a Secret to Everybody";
const body = Buffer.from('Hello, World!');
/** What GitHub documents for this secret and this body. */
const published = '757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17';
const sign = (text: string) => createHmac('sha256', secret).update(text).digest('hex');

const github = { 'x-hub-signature-256': `sha256=${published}`, 'x-github-event': 'push' };
const gitea = { 'x-gitea-signature': published, 'x-gitea-event': 'push' };
const generic = {
  'x-fumehood-timestamp': '1700000000',
  'x-fumehood-signature': `sha256=${sign('1700000000.Hello, World!')}`,
};
function read(headers: Record<string, string>) {
  const delivery = readDelivery(headers);
  if (!delivery) throw new Error('the headers have no signature');
  return delivery;
}

describe('the signature of', () => {
  test.each([
    ['GitHub, as GitHub documents it', 'github', github],
    ['Gitea', 'gitea', gitea],
    ['Gitea, which sends the headers of GitHub, too', 'gitea', { ...github, ...gitea }],
    ['anybody else, over the time and the body', 'generic', generic],
  ])('%s is valid for its secret and body alone', (_, sender, headers) => {
    const delivery = read(headers);
    expect(delivery.sender).toBe(sender);
    expect(isSigned(delivery, body, secret)).toBe(true);
    expect(isSigned(delivery, body, `${secret}.`)).toBe(false);
    expect(isSigned(delivery, Buffer.from('Hello, World?'), secret)).toBe(false);
    expect(isSigned(delivery, Buffer.alloc(0), secret)).toBe(false);
  });

  test('anybody else is over the time: another one makes it wrong', () => {
    expect(isSigned(read({ ...generic, 'x-fumehood-timestamp': '1700000001' }), body, secret)).toBe(false);
  });

  test.each([
    ['nobody', {}],
    ['GitHub without its event', { 'x-hub-signature-256': github['x-hub-signature-256'] }],
    ['GitHub by SHA-1', { 'x-hub-signature': `sha1=${'0'.repeat(40)}`, 'x-github-event': 'push' }],
    ['GitHub without `sha256=`', { ...github, 'x-hub-signature-256': published }],
    ['GitHub, cut', { ...github, 'x-hub-signature-256': 'sha256=757107ea' }],
    ['GitHub, twice', { ...github, 'x-hub-signature-256': `sha256=${published}, sha256=${published}` }],
    ['Gitea, empty, as without a secret', { ...gitea, 'x-gitea-signature': '' }],
    ['Gitea, broken, beside a good one of GitHub', { ...github, ...gitea, 'x-gitea-signature': 'x' }],
    ['anybody else without a time', { 'x-fumehood-signature': generic['x-fumehood-signature'] }],
    ['anybody else with another form of time', { ...generic, 'x-fumehood-timestamp': '01700000000' }],
  ])('%s is none', (_, headers) => {
    expect(readDelivery(headers)).toBeNull();
  });
});

describe('GitLab with a signing token', () => {
  // What Svix, which began the rules of Standard Webhooks, documents.
  const signingToken = 'whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw';
  const signed = Buffer.from('{"test": 2432232314}');
  const signature = 'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=';
  const gitlab = {
    'x-gitlab-event': 'Push Hook',
    'webhook-id': 'msg_p5jXN8AQM9LWM0D4loKWxJek',
    'webhook-timestamp': '1614265330',
    'webhook-signature': signature,
  };

  test('is known by the signature of the id, the time and the body', () => {
    const delivery = read(gitlab);
    expect(delivery).toMatchObject({ sender: 'gitlab', event: 'push', sentAt: 1_614_265_330 });
    expect(isSigned(delivery, signed, signingToken)).toBe(true);
    const other = `v1,${Buffer.alloc(32).toString('base64')}`;
    const rotated = read({ ...gitlab, 'webhook-signature': `v1a,x ${other} ${signature}` });
    expect(isSigned(rotated, signed, signingToken)).toBe(true);
    for (const wrong of [
      { ...gitlab, 'webhook-id': 'msg_other' },
      { ...gitlab, 'webhook-timestamp': '1614265331' },
      { ...gitlab, 'webhook-signature': other },
    ])
      expect(isSigned(read(wrong), signed, signingToken)).toBe(false);
    expect(isSigned(delivery, Buffer.from('{"test": 1}'), signingToken)).toBe(false);
    expect(isSigned(delivery, signed, signingToken.replace('whsec_', ''))).toBe(false);
  });

  test('is not known by its secret if it signs, too, or without a time or an id', () => {
    const both = read({ ...gitlab, 'x-gitlab-token': signingToken, 'webhook-id': 'msg_other' });
    expect(isSigned(both, signed, signingToken)).toBe(false);
    for (const missing of ['webhook-id', 'webhook-timestamp', 'x-gitlab-event'])
      expect(readDelivery({ ...gitlab, [missing]: undefined })).toBeNull();
    expect(readDelivery({ ...gitlab, 'webhook-signature': 'v1,x' })).toBeNull();
  });
});

describe('GitLab, which signs nothing,', () => {
  const gitlab = { 'x-gitlab-token': secret.replaceAll(' ', '-'), 'x-gitlab-event': 'Merge Request Hook' };

  test('is known by the secret', () => {
    const delivery = read({ ...gitlab, 'x-gitlab-event-uuid': '13792a34-cac6-4fda-95a8-c58e00a3954e' });
    expect(delivery).toMatchObject({
      ...{ sender: 'gitlab', event: 'merge_request', id: '13792a34-cac6-4fda-95a8-c58e00a3954e' },
    });
    expect(isSigned(delivery, body, gitlab['x-gitlab-token'])).toBe(true);
    for (const other of [`${gitlab['x-gitlab-token']}.`, '', secret])
      expect(isSigned(delivery, body, other)).toBe(false);
  });

  test.each([
    ['an empty secret', { ...gitlab, 'x-gitlab-token': '' }],
    ['a secret with a blank', { ...gitlab, 'x-gitlab-token': secret }],
    ['no event', { 'x-gitlab-token': gitlab['x-gitlab-token'] }],
  ])('is not known by %s', (_, headers) => {
    expect(readDelivery(headers)).toBeNull();
  });

  test.each([
    ['Push Hook', true],
    ['Tag Push Hook', true],
    ['Merge Request Hook', false],
    ['Pipeline Hook', false],
  ])('says by %s that a branch or a tag has changed: %s', (event, changes) => {
    expect(changesRefs(read({ ...gitlab, 'x-gitlab-event': event }))).toBe(changes);
  });
});

test('a wrong signature of Gitea is not made good by a right one of GitHub', () => {
  const delivery = read({ ...github, ...gitea, 'x-gitea-signature': '0'.repeat(64) });
  expect(isSigned(delivery, body, secret)).toBe(false);
});

test('what is signed is the same delivery, whatever the other headers say, and another time is another one', () => {
  const forged = { ...gitea, 'x-gitea-delivery': 'other', 'x-gitea-event': 'create' };
  const digests = [github, gitea, forged, generic].map((headers) => digestOf(read(headers), body));
  expect(new Set(digests.map((digest) => digest.toString('hex'))).size).toBe(2);
  // The text that was signed with a time, sent as a body without one, is no new delivery.
  expect(digestOf(read(github), Buffer.from('1700000000.Hello, World!'))).toEqual(digests[3]);
});

test('a time is off in both directions, and a delivery of GitHub has none', () => {
  const at = (seconds: number) => secondsOff(read(generic), seconds * 1_000);
  expect([at(1_700_000_301), at(1_699_999_699), at(1_700_000_000)]).toEqual([301, 301, 0]);
  expect(secondsOff(read(github), 0)).toBe(0);
});

test('branches and tags change by push, create and delete; the name of a delivery is kept if it can be one', () => {
  const events = ['push', 'create', 'delete', 'ping', 'issues'];
  const of = (event: string) => changesRefs(read({ ...github, 'x-github-event': event }));
  expect(events.map(of)).toEqual([true, true, true, false, false]);
  const ids = ['72d3162e-cc78-11e3-81ab-4c9367dc0958', 'a b', '\x1b]', 'x'.repeat(101)];
  const idOf = (id: string) => read({ ...github, 'x-github-delivery': id }).id;
  expect(ids.map(idOf)).toEqual([ids[0], null, null, null]);
});
