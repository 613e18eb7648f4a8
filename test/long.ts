/** FUMEHOOD_LONG=1, as `npm run night` sets it: tests that have a short and a long form run in the long one. */
export const long = process.env.FUMEHOOD_LONG === '1';
