import { type JoinedExecutor, joinedExecutorSchema } from '@fumehood/protocol';
import { expectStatus, type Http, parseAnswer } from './http.ts';

/**
 * Exchanges a join token, which is good once, for the credential of a new executor. Errors: `instance_refused`, `instance_unreachable`,
 * `instance_untrusted`.
 */
export async function joinInstance(http: Http, token: string): Promise<JoinedExecutor> {
  const action = 'join the instance';
  const response = await http({
    method: 'POST',
    path: '/.executors/join',
    headers: { authorization: `token-join ${token}` },
    action,
  });
  return parseAnswer(joinedExecutorSchema, await expectStatus(response, [200], action), action);
}

/** Has the instance revoke an executor's credential. One that is revoked already is fine. Errors as those of `joinInstance`. */
export async function leaveInstance(http: Http, credential: string): Promise<void> {
  const action = 'leave the instance';
  const response = await http({
    method: 'POST',
    path: '/.executors/leave',
    headers: { authorization: `token-executor ${credential}` },
    action,
  });
  await expectStatus(response, [204, 401], action);
}
