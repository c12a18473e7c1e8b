// Written by `liger bench --tune`; not by hand.
extension GPUSchedule {
    static let tuned: [TuningKey: GPUSchedule] = [:]
}
