// Sends with RudderStack's unmodified library for Node from the directory SDK_DIRECTORY. Input and output are those of
// ../python/send.py.
import { createRequire } from 'node:module'
import { text } from 'node:stream/consumers'

const Analytics = createRequire(`${process.env.SDK_DIRECTORY}/package.json`)('@rudderstack/rudder-sdk-node')

const scenario = JSON.parse(await text(process.stdin))
const failed = []
const client = new Analytics(scenario.key, {
  dataPlaneUrl: scenario.host,
  logLevel: 'none',
  errorHandler: (error) => failed.push(error.message),
})

// `flush` sends one batch.
async function send(calls) {
  const delivered = calls.map(([method, fields]) => new Promise((resolve) => client[method](fields, resolve)))
  while (client.queue.length > 0) await client.flush()
  await Promise.all(delivered)
}

await send(scenario.calls)
await send(scenario.leaving)
console.log(JSON.stringify({ failed, notSent: [] }))
