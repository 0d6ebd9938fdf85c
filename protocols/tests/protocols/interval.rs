//! When to checkpoint: against values computed by hand and printed in the papers, against the best
//! interval found by trying, and against a computation that fails at random.

use std::time::Duration;

use relive_protocols::interval::{Due, FailureModel, InvalidInput, OutOfReach, Progress, Rate, RecoveryCost};

use crate::random::Random;

const MILLI: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3_600);

/// Durations at which arithmetic breaks.
const EXTREMES: [Duration; 6] =
    [Duration::ZERO, Duration::from_nanos(1), MILLI, HOUR, Duration::from_secs(u64::MAX / 3), Duration::MAX];

/// 100 ms to load, 2 us a delivery, 1 ms a mebibyte.
const COST: RecoveryCost = RecoveryCost {
    load: Duration::from_millis(100),
    per_delivery: Duration::from_micros(2),
    per_mebibyte: MILLI,
    write: Duration::ZERO,
};

fn progress(deliveries: u64, bytes: u64) -> Progress {
    Progress { deliveries, bytes }
}

fn per_second(deliveries: u64, bytes: u64) -> Rate {
    Rate::new(progress(deliveries, bytes), SECOND).expect("a second is some time")
}

/// The sum of what a recovery consists of, rounded up.
#[test]
fn a_recovery_loads_and_replays() {
    assert_eq!(COST.recovery_time(progress(0, 0)), 100 * MILLI);
    assert_eq!(COST.recovery_time(progress(50_000, 0)), 200 * MILLI);
    assert_eq!(COST.recovery_time(progress(50_000, 25 << 20)), 225 * MILLI);
    // A byte takes 0.95 ns.
    assert_eq!(COST.recovery_time(progress(0, 1)), 100 * MILLI + Duration::from_nanos(1));
    let absurd = RecoveryCost { per_delivery: Duration::MAX, ..COST };
    assert_eq!(absurd.recovery_time(progress(u64::MAX, u64::MAX)), Duration::MAX);
}

/// What a limit leaves, by deliveries alone and by bytes alone, up to the last one that fits.
#[test]
fn a_limit_leaves_so_many_deliveries_or_bytes() {
    assert_eq!(COST.deliveries_within(SECOND), Ok(450_000));
    assert_eq!(COST.bytes_within(SECOND), Ok(900 << 20));
    assert_eq!(COST.deliveries_within(100 * MILLI), Ok(0));
    let free = RecoveryCost { per_delivery: Duration::ZERO, per_mebibyte: Duration::ZERO, ..COST };
    assert_eq!((free.deliveries_within(SECOND), free.bytes_within(SECOND)), (Ok(u64::MAX), Ok(u64::MAX)));
    let (limit, shortest) = (99 * MILLI, 100 * MILLI);
    let refused = Err(OutOfReach::Load { limit, shortest });
    assert_eq!((COST.deliveries_within(limit), COST.bytes_within(limit)), (refused, refused));
    for seed in 0..2_000 {
        let (cost, limit) = random_cost(&mut Random::new(seed));
        let (Ok(deliveries), Ok(bytes)) = (cost.deliveries_within(limit), cost.bytes_within(limit)) else {
            panic!("seed {seed}: the limit is above the load");
        };
        assert!(cost.recovery_time(progress(deliveries, 0)) <= limit, "seed {seed}");
        assert!(cost.recovery_time(progress(deliveries + 1, 0)) > limit, "seed {seed}");
        assert!(cost.recovery_time(progress(0, bytes)) <= limit, "seed {seed}");
        // One byte may be less than what is rounded away.
        let ahead = bytes + (1 << 20) / u64::try_from(cost.per_mebibyte.as_nanos()).unwrap() + 2;
        assert!(cost.recovery_time(progress(0, ahead)) > limit, "seed {seed}");
    }
}

/// The moment at which the room that the limit leaves is used up, less the time to write.
#[test]
fn a_checkpoint_is_due_in_time() {
    let due = |cost: RecoveryCost, since| cost.next_checkpoint(SECOND, since, per_second(100_000, 100 << 20));
    // 900 ms of room, and each second brings 300 ms.
    let after = |time, deliveries, bytes| Ok(Due::After { time, deliveries, bytes });
    assert_eq!(due(COST, progress(0, 0)), after(3 * SECOND, 300_000, 300 << 20));
    assert_eq!(due(COST, progress(200_000, 200 << 20)), after(SECOND, 100_000, 100 << 20));
    assert_eq!(due(COST, progress(300_000, 300 << 20)), Ok(Due::Now));
    assert_eq!(due(COST, progress(u64::MAX, u64::MAX)), Ok(Due::Now));
    let slow = RecoveryCost { write: SECOND, ..COST };
    assert_eq!(due(slow, progress(0, 0)), after(2 * SECOND, 200_000, 200 << 20));
    assert_eq!(due(slow, progress(200_000, 200 << 20)), Ok(Due::Now));
    // The last is stable when what came in 1.5 s is replayed after the one before, and that again.
    assert_eq!(
        due(RecoveryCost { write: 1_500 * MILLI, ..COST }, progress(0, 0)),
        after(1_500 * MILLI, 150_000, 150 << 20)
    );
    let (limit, shortest) = (SECOND, 1_060 * MILLI);
    let refused = Err(OutOfReach::Rate { limit, shortest });
    assert_eq!(due(RecoveryCost { write: 1_600 * MILLI, ..COST }, progress(0, 0)), refused);
    let idle = per_second(0, 0);
    assert_eq!(COST.next_checkpoint(SECOND, progress(9, 9), idle), Ok(Due::Never));
    assert_eq!(COST.next_checkpoint(SECOND, progress(450_001, 0), idle), Ok(Due::Now));
    let (limit, shortest) = (50 * MILLI, COST.load);
    assert_eq!(COST.next_checkpoint(limit, progress(0, 0), idle), Err(OutOfReach::Load { limit, shortest }));
}

/// Costs, and a limit that loading alone keeps.
fn random_cost(random: &mut Random) -> (RecoveryCost, Duration) {
    let mut up_to = |micros: usize| Duration::from_nanos(1 + random.below(micros * 1_000) as u64);
    let (load, write) = (up_to(1_000_000), up_to(1_000_000));
    let (per_delivery, per_mebibyte) = (up_to(50), up_to(10_000));
    (RecoveryCost { load, per_delivery, per_mebibyte, write }, load + up_to(60_000_000))
}

/// What has come in all by a time, at a rate.
fn by(time: Duration, since: Progress, came: Progress, over: Duration) -> Progress {
    let passed = |count| u128::from(count) * time.as_nanos() / over.as_nanos();
    let passed = |count| u64::try_from(passed(count)).expect("a test takes not so long");
    progress(since.deliveries + passed(came.deliveries), since.bytes + passed(came.bytes))
}

/// A checkpoint that begins when it is due is on stable storage before a recovery would take longer
/// than the limit, and not much before. One that is due at once would be too late any later.
#[test]
fn the_limit_is_kept_and_used() {
    let mut due_later = 0;
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let (cost, limit) = random_cost(&mut random);
        let since = progress(random.below(200_000) as u64, random.below(1 << 30) as u64);
        let came = progress(random.below(100_000) as u64, random.below(1 << 28) as u64);
        let over = Duration::from_millis(1 + random.below(10_000) as u64);
        let next = |limit, since| cost.next_checkpoint(limit, since, Rate::new(came, over).unwrap());
        let nano = Duration::from_nanos(1);
        match next(limit, since) {
            Ok(Due::After { time, deliveries, bytes }) => {
                due_later += 1;
                let begun = by(time, since, came, over);
                let expected = progress(since.deliveries + deliveries, since.bytes + bytes);
                assert_eq!(begun, expected, "seed {seed}");
                let slowest = cost.recovery_time(by(time + cost.write, since, came, over));
                assert!(slowest <= limit, "seed {seed}: {slowest:?} of {limit:?}");
                let (length, replay) = (time + cost.write, cost.recovery_time(came) - cost.load);
                // A delivery, a nanosecond of traffic, and one for each time that the rate fits.
                let rounding = cost.per_delivery
                    + replay.div_f64(over.as_secs_f64() * 1e9)
                    + nano.mul_f64(length.as_secs_f64() / over.as_secs_f64() + 20.0);
                assert!(slowest + rounding >= limit, "seed {seed}: {slowest:?} of {limit:?}, {cost:?}");
                let later = next(limit + SECOND, since);
                assert!(matches!(later, Ok(Due::After { time: later, .. }) if later >= time), "seed {seed}");
                if let Ok(Due::After { time: left, .. }) = next(limit, begun) {
                    let replay = left.mul_f64(replay.as_secs_f64() / over.as_secs_f64());
                    assert!(replay <= rounding, "seed {seed}: {left:?} later, {cost:?}");
                }
            }
            Ok(Due::Now) => {
                let late = cost.recovery_time(by(cost.write + 2 * nano, since, came, over));
                assert!(late + 2 * cost.per_delivery > limit, "seed {seed}: {late:?} of {limit:?}, {cost:?}");
            }
            Ok(Due::Never) => assert_eq!(came, progress(0, 0), "seed {seed}"),
            Err(OutOfReach::Rate { shortest, .. }) => {
                assert!(shortest > limit, "seed {seed}");
                let back_to_back = cost.recovery_time(by(2 * cost.write, progress(0, 0), came, over));
                assert!(back_to_back <= shortest, "seed {seed}: {back_to_back:?} and {shortest:?}");
            }
            Err(refused) => panic!("seed {seed}: {refused}"),
        }
    }
    assert!(due_later > 5_000, "{due_later} of 20000");
}

/// Whatever is asked, there is an answer, and a time that is answered keeps the limit.
#[test]
fn absurd_costs_and_rates_are_answered() {
    for seed in 0..20_000 {
        let mut random = Random::new(seed);
        let mut any = || EXTREMES[random.below(EXTREMES.len())];
        let cost = RecoveryCost { load: any(), per_delivery: any(), per_mebibyte: any(), write: any() };
        let (limit, over) = (any(), any());
        let mut any = || [0, 1, 1 << 20, u64::MAX][random.below(4)];
        let [since, came] = [progress(any(), any()), progress(any(), any())];
        assert!(cost.recovery_time(since) >= cost.load, "seed {seed}");
        let Ok(rate) = Rate::new(came, over) else { continue };
        match cost.next_checkpoint(limit, since, rate) {
            Ok(Due::Never) => assert_eq!(cost.recovery_time(came), cost.load, "seed {seed}"),
            Ok(Due::After { deliveries, bytes, .. }) => {
                let deliveries = since.deliveries.saturating_add(deliveries);
                let then = progress(deliveries, since.bytes.saturating_add(bytes));
                assert!(cost.recovery_time(then) <= limit, "seed {seed}: {cost:?}, {then:?}");
            }
            Ok(Due::Now) => (),
            Err(OutOfReach::Load { shortest, .. }) => assert!(shortest > limit, "seed {seed}"),
            Err(OutOfReach::Rate { shortest, .. }) => assert!(shortest >= limit, "seed {seed}"),
        }
    }
}

fn model(mean: Duration, checkpoint: Duration) -> FailureModel {
    FailureModel::new(mean, checkpoint, 10 * MINUTE).expect("nothing is zero")
}

/// The intervals that the figures 3 to 5 of Daly's paper print, and those of Young for them.
#[test]
fn the_papers_are_matched() {
    for (mean, young, daly) in [(24 * HOUR, 120.0, 117.0), (6 * HOUR, 60.0, 57.0), (15 * MINUTE, 12.25, 9.1)]
    {
        let model = model(mean, 5 * MINUTE);
        let minutes = [model.young(), model.daly()].map(|interval| interval.as_secs_f64() / 60.0);
        // To the last digit that is printed.
        assert!((minutes[0] - young).abs() < 0.005, "{minutes:?}");
        assert!((minutes[1] - daly).abs() < if daly > 10.0 { 0.5 } else { 0.05 }, "{minutes:?}");
    }
}

/// Computed by hand: `sqrt(2 * C * M)`, the series at C / 2M = 1/4, and M from 2M on.
#[test]
fn the_formulas_are_these() {
    assert_eq!(model(50 * SECOND, SECOND).young(), 10 * SECOND);
    // 36 * (1 + 1/6 + 1/36) - 18.
    assert_eq!(model(36 * SECOND, 18 * SECOND).daly(), 25 * SECOND);
    let [below, at, above] = [19_999, 20_000, 20_001].map(|cost| model(10 * SECOND, cost * MILLI).daly());
    assert_eq!([at, above], [10 * SECOND; 2]);
    assert!(below > 8 * SECOND && below < 9 * SECOND, "{below:?}: the estimate has a step there");
    // M = 1 h, C = 6 min, R = 12 min, 30 min each, 10 h of work: e^0.2 * (e^0.6 - 1) * 20 h.
    let model = FailureModel::new(HOUR, 6 * MINUTE, 12 * MINUTE).unwrap();
    let time = model.expected_time(10 * HOUR, 30 * MINUTE).unwrap();
    assert_eq!(time.as_millis(), 72_297_948);
    assert_eq!(model.expected_overhead(10 * HOUR, 30 * MINUTE), Ok(time - 10 * HOUR));
}

/// For checkpoints that cost little, the higher orders vanish.
#[test]
fn daly_tends_to_young() {
    let mut before = 1.0;
    for tenths in 1..9 {
        let model = model(Duration::from_secs(10_u64.pow(tenths)), SECOND);
        let apart = 1.0 - model.daly().as_secs_f64() / model.young().as_secs_f64();
        // The first term that is left out: 2/3 of sqrt(C / 2M).
        let first = 2.0 / 3.0 * (0.5 / 10_f64.powi(i32::try_from(tenths).unwrap())).sqrt();
        assert!(apart > 0.0 && apart < before && (apart / first - 1.0).abs() < 0.1, "{apart} and {first}");
        before = apart;
    }
    assert!(before < 1e-4, "{before}");
}

/// The best interval that trying finds is that of the condition, and near to that of Daly.
#[test]
fn daly_is_near_the_optimum() {
    let (mean, work) = (HOUR, 1_000_000 * HOUR);
    for (percent, error) in
        [(0.01, 1e-4), (0.1, 1e-4), (1.0, 1e-4), (10.0, 1e-3), (50.0, 0.01), (100.0, 0.02), (150.0, 0.04)]
    {
        let checkpoint = mean.mul_f64(percent / 100.0);
        let model = model(mean, checkpoint);
        let time = |interval| model.expected_time(work, interval).unwrap();
        let step = mean.mul_f64(1e-4);
        let best = (1..20_000).map(|at| at * step).min_by_key(|interval| time(*interval)).unwrap();
        let daly = model.daly();
        let allowed = best.mul_f64(error) + step;
        assert!(daly.abs_diff(best) <= allowed, "{percent} %: {daly:?} and {best:?}");
        assert!(time(daly) <= time(best).mul_f64(1.0 + error), "{percent} %");
        assert!(time(best / 2) > time(best) && time(2 * best) > time(best), "{percent} %");
        let [tau, mean, cost] = [best, mean, checkpoint].map(|time| time.as_secs_f64());
        let condition = |tau: f64| (1.0 - tau / mean) * ((tau + cost) / mean).exp() - 1.0;
        let step = step.as_secs_f64();
        assert!(condition(tau - step) > 0.0 && condition(tau + step) < 0.0, "{percent} %: {tau} s");
    }
}

/// The expected time is the mean of what a computation takes that fails at random.
#[test]
fn a_computation_that_fails_takes_the_expected_time() {
    let (mean, checkpoint, restart, interval) = (10.0, 1.0, 2.0, 4.0);
    let mut random = Random::new(7);
    let mut until_failure = || {
        let uniform = (random.below(1 << 52) + 1) as f64 / (1_u64 << 52) as f64;
        -mean * uniform.ln()
    };
    let segments = 200_000;
    let mut passed = 0.0;
    for _ in 0..segments {
        let (mut needed, mut failure) = (interval + checkpoint, until_failure());
        while failure < needed {
            passed += failure;
            // A failure during the restart begins it anew.
            (needed, failure) = (restart + interval + checkpoint, until_failure());
        }
        passed += needed;
    }
    let [mean, checkpoint, restart, interval] =
        [mean, checkpoint, restart, interval].map(Duration::from_secs_f64);
    let model = FailureModel::new(mean, checkpoint, restart).unwrap();
    let expected = model.expected_time(segments * interval, interval).unwrap().as_secs_f64();
    assert!((passed / expected - 1.0).abs() < 0.01, "{passed} s and {expected} s");
}

/// More failures, dearer checkpoints and slower restarts take longer; none takes no time.
#[test]
fn the_expected_time_grows_with_each_cost() {
    let time = |mean, checkpoint, restart| {
        FailureModel::new(mean, checkpoint, restart).unwrap().expected_time(100 * HOUR, HOUR).unwrap()
    };
    let least = time(24 * HOUR, MINUTE, MINUTE);
    assert!(least > 100 * HOUR);
    assert!(time(12 * HOUR, MINUTE, MINUTE) > least);
    assert!(time(24 * HOUR, 2 * MINUTE, MINUTE) > least);
    assert!(time(24 * HOUR, MINUTE, 2 * MINUTE) > least);
    // Hardly a failure: a minute for each hour.
    let calm = model(1_000_000 * HOUR, MINUTE).expected_overhead(100 * HOUR, HOUR).unwrap();
    assert!(calm.abs_diff(100 * MINUTE) < SECOND, "{calm:?}");
}

/// Zeros are refused by name; whatever else is absurd saturates, and an interval is never zero.
#[test]
fn absurd_models_are_answered() {
    assert_eq!(Rate::new(progress(1, 1), Duration::ZERO), Err(InvalidInput::Measurement));
    assert_eq!(FailureModel::new(Duration::ZERO, SECOND, SECOND), Err(InvalidInput::MeanTime));
    assert_eq!(FailureModel::new(SECOND, Duration::ZERO, SECOND), Err(InvalidInput::CheckpointCost));
    assert_eq!(model(HOUR, SECOND).expected_time(HOUR, Duration::ZERO), Err(InvalidInput::Interval));
    assert_eq!(model(HOUR, SECOND).expected_time(Duration::ZERO, HOUR), Ok(Duration::ZERO));
    for (mean, checkpoint) in EXTREMES.iter().flat_map(|mean| EXTREMES.map(|checkpoint| (*mean, checkpoint)))
    {
        for restart in EXTREMES {
            let Ok(model) = FailureModel::new(mean, checkpoint, restart) else { continue };
            assert!(!model.young().is_zero() && !model.daly().is_zero(), "{model:?}");
            for (work, interval) in
                EXTREMES.iter().flat_map(|work| EXTREMES.map(|interval| (*work, interval)))
            {
                let Ok(time) = model.expected_time(work, interval) else { continue };
                assert!(time >= work.mul_f64(1.0 - 1e-9), "{model:?}: {work:?} by {interval:?} in {time:?}");
            }
        }
    }
    let hopeless = FailureModel::new(Duration::from_nanos(1), SECOND, SECOND).unwrap();
    assert_eq!(hopeless.expected_time(SECOND, SECOND), Ok(Duration::MAX));
}

/// What is refused says what is wrong.
#[test]
fn refusals_have_numbers() {
    let refused = COST.next_checkpoint(50 * MILLI, progress(0, 0), per_second(0, 0)).unwrap_err();
    assert!(refused.to_string().contains("50ms") && refused.to_string().contains("100ms"), "{refused}");
    let slow = RecoveryCost { write: HOUR, ..COST };
    let refused = slow.next_checkpoint(SECOND, progress(0, 0), per_second(1_000, 0)).unwrap_err();
    assert!(refused.to_string().contains("14.5s") && refused.to_string().contains("1s"), "{refused}");
    assert!(InvalidInput::MeanTime.to_string().contains("mean time"));
}
