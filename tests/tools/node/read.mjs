// Reads with ClickHouse's unmodified client for Node. Input and output are those of ../python/steps.py.
import { createRequire } from 'node:module';
import { readFileSync } from 'node:fs';

const { createClient, ClickHouseLogLevel } = createRequire(`${process.env.TOOLS_DIRECTORY}/`)('@clickhouse/client');
const run = JSON.parse(readFileSync(0, 'utf8'));
const login = {
  url: `http://${run.host}:${run.port}`,
  username: run.user,
  password: run.password,
  database: run.database,
  log: { level: ClickHouseLogLevel.OFF },
};

async function step(name, call) {
  let outcome;
  try {
    outcome = { step: name, shown: await call() };
  } catch (error) {
    outcome = { step: name, error: `${error.code ?? error.name}: ${error.message}` };
  }
  console.log(JSON.stringify(outcome));
}

async function ask(sql, options = {}, values = {}) {
  const client = createClient({ ...login, ...options });
  try {
    const result = await client.query({ query: sql, query_params: values, format: 'JSONCompactEachRow' });
    return await result.json();
  } finally {
    await client.close();
  }
}

const inRange = `SELECT count() FROM ${run.view} WHERE timestamp >= {since:DateTime} AND timestamp < {until:DateTime}`;
await step('connect', () => createClient(login).ping({ select: true }).then(({ success }) => success));
await step('databases', async () => (await ask('SHOW DATABASES')).flat());
await step('tables', async () => (await ask('SHOW TABLES')).flat());
await step('columns', async () => (await ask(`DESCRIBE TABLE ${run.view}`)).map(([name]) => name));
await step('json', () => ask(run.json));
await step('property', () => ask(run.property));
await step('view', () => ask(run.revenue));
await step('time', () => ask(inRange, {}, run.range));
await step('error', () => ask('SELECT * FROM nothing'));
await step('write', () => createClient(login).command({ query: run.write }));
await step('settings', () => ask('SELECT 1', { clickhouse_settings: { max_threads: 2, max_result_rows: '1000' } }));
await step('limit', () => ask('SELECT 1', { clickhouse_settings: { max_execution_time: 0 } }));
await step('session', () => ask('SELECT 1', { session_id: 'tools-node' }));
await step('compression', () => ask('SELECT 1', { compression: { response: true } }));
await step('stream', async () => {
  const client = createClient({ ...login, compression: { response: true } });
  const result = await client.query({ query: 'SELECT number FROM numbers(300000)', format: 'JSONEachRow' });
  let count = 0;
  for await (const rows of result.stream()) count += rows.length;
  await client.close();
  return count;
});
await step('progress', () =>
  ask('SELECT 1', { clickhouse_settings: { send_progress_in_http_headers: 1, wait_end_of_query: 1 } }));
await step('abort', async () => {
  const client = createClient(login);
  const controller = new AbortController();
  const pending = client.query({ query: 'SELECT sleep(1)', abort_signal: controller.signal });
  controller.abort();
  const aborted = await pending.then(() => false, () => true);
  const { success } = await client.ping({ select: true });
  await client.close();
  return { aborted, success };
});
