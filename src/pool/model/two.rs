//! Calls over two servers, one connection each, by two threads: who leads on one of them may follow on the other, and they
//! must never wait for each other. Each call takes its steps on both servers.

use super::*;

/// What a call does on one server.
struct Half {
    first: u32,
    key: Vec<u8>,
    values: Vec<Vec<u8>>,
}

impl Half {
    fn new(caller: &mut Caller, call: &Call) -> Half {
        let (first, key) = (caller.versions, caller.key.clone());
        caller.versions += call.steps.len() as u32;
        let values = (first..).zip(&call.steps).map(|(version, step)| step.value(&key, version)).collect();
        Half { first, key, values }
    }

    fn check(self, answered: Answered, caller: &mut Caller, call: &Call) {
        for (index, (step, answer)) in call.steps.iter().zip(answered.0).enumerate() {
            let Some((status, value, words)) = answer else { panic!("operation {index} of {call:?} got no answer") };
            caller.check(*step, self.first + index as u32, status, &value, &words);
        }
    }
}

fn run_on_both(callers: &mut [Caller; 2], pools: &[Pool; 2], call: &Call) {
    let halves = callers.each_mut().map(|caller| Half::new(caller, call));
    let mut parts = Vec::new();
    let mut operations = Vec::new();
    for half in &halves {
        let steps = call.steps.iter().zip(&half.values);
        operations.push(steps.map(|(step, value)| step.operation(&half.key, value)).collect::<Vec<_>>());
    }
    let empty = || Answered(vec![None; call.steps.len()]);
    let mut sinks = [empty(), empty()];
    for ((pool, operations), sink) in pools.iter().zip(&operations).zip(&mut sinks) {
        parts.push(Part { pool, operations, sink });
    }
    run_several(parts, Limit::new(call.timeout_ms, call.timeout_ms == 1000, false));
    drop(operations);
    for ((half, sink), caller) in halves.into_iter().zip(sinks).zip(callers) {
        half.check(sink, caller, call);
    }
}

fn execute_on_both(plan: &Plan) {
    let own = kernel::boot(plan.world.clone());
    let pool = |server| Pool::new(Address::parse("127.0.0.1").expect("an address"), server, settings(plan));
    let pools = Arc::new([pool(0), pool(1)]);
    let threads: Vec<_> = (0..)
        .zip(plan.threads.clone())
        .map(|(number, calls)| {
            let (pools, trouble) = (pools.clone(), plan.trouble);
            thread::spawn(move || {
                let mut callers = [0, 1].map(|server| Caller::new(2 * number + server, trouble));
                calls.iter().for_each(|call| run_on_both(&mut callers, &pools, call));
                memory::settle();
            })
        })
        .collect();
    match plan.trouble {
        Trouble::Close => pools.iter().for_each(Pool::close),
        Trouble::Disconnect => {
            pools.iter().for_each(|pool| pool.disconnect(&Error::new(Status::Connection, "disconnected")))
        }
        Trouble::None | Trouble::TimeOuts | Trouble::Closes => {}
    }
    memory::settle();
    threads.into_iter().for_each(|thread| thread.join().expect("a caller"));
    pools.iter().for_each(|pool| check_rest(pool, false));
    kernel::with(|kernel| {
        kernel.world.time_passes = false;
        kernel.world.closes = 0;
    });
    for pool in pools.iter() {
        check_afterwards(pool, plan.trouble);
        check_rest(pool, true);
    }
    kernel::halt(own);
}

fn draw_two(trouble: Trouble) -> Plan {
    let mut plan = Plan::draw(trouble);
    plan.connections = 1;
    plan.threads.truncate(2);
    plan
}

#[test]
fn calls_over_two_servers_never_wait_for_each_other() {
    let (name, seed) = ("calls_over_two_servers_never_wait_for_each_other", number_in("BMEMC_MODEL_SEED", SEED));
    let count = executions() as usize;
    for trouble in [Trouble::None, Trouble::TimeOuts, Trouble::Closes, Trouble::Disconnect, Trouble::Close] {
        let draw = move || draw_two(trouble);
        run("random", name, seed, RandomScheduler::new_from_seed(seed, count), draw, execute_on_both);
        run("PCT", name, seed, PctScheduler::new_from_seed(seed, 4, count), draw, execute_on_both);
    }
}
