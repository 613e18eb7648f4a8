import { expect, test } from 'vitest';
import { expectStatus } from './http.ts';

const refusal = JSON.stringify({
  error: 'the diff is too big',
  code: 'diff_too_big',
  remedy: 'Change less.',
});

test.each([
  [413, refusal, 'the instance refused the request to send a diff: 413 the diff is too big', 'Change less.'],
  [
    400,
    'the diff is refused',
    'the instance refused the request to send a diff: 400 the diff is refused',
    undefined,
  ],
  [404, '{"error": {}}', 'the instance refused the request to send a diff: 404 {"error": {}}', undefined],
])('a refusal with status %i says what the instance has said', async (status, text, message, remedy) => {
  const refused = expectStatus(new Response(text, { status }), [200], 'send a diff');
  await expect(refused).rejects.toMatchObject({ code: 'instance_refused', message, remedy });
});
