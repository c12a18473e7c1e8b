import Foundation
import LigerTrainer
import Testing

@Suite struct LearningRateScheduleTests {
    // Warm-up of none, one, an odd number, and all but one step.
    @Test(arguments: LearningRateSchedule.Shape.allCases, [0, 1, 7, 99])
    func warmUpRisesEvenlyToThePeak(shape: LearningRateSchedule.Shape, warmup: Int) {
        let schedule = LearningRateSchedule(shape: shape, peak: 0.5, warmupSteps: warmup, totalSteps: 100)
        for step in 0..<warmup {
            #expect(schedule.rate(at: step) == 0.5 * Double(step + 1) / Double(warmup + 1), "step \(step)")
        }
        #expect(schedule.rate(at: warmup) == 0.5)
    }

    @Test func constantStays() {
        let schedule = LearningRateSchedule(shape: .constant, peak: 3, warmupSteps: 0, totalSteps: 10)
        #expect((0..<20).allSatisfy { schedule.rate(at: $0) == 3 })
    }

    @Test(arguments: [0.0, 0.1, 1.0])
    func linearFallsEvenly(minimum: Double) {
        let schedule = LearningRateSchedule(
            shape: .linear, peak: 2, warmupSteps: 10, totalSteps: 30, minimumRatio: minimum)
        for step in 10...30 {
            let expected = 2 + (2 * minimum - 2) * Double(step - 10) / 20
            #expect(abs(schedule.rate(at: step) - expected) <= 4 * 2.0.ulp, "step \(step)")
        }
        #expect(schedule.rate(at: 1000) == schedule.rate(at: 30))
    }

    @Test func cosineHasItsKnownPoints() {
        let schedule = LearningRateSchedule(
            shape: .cosine, peak: 1, warmupSteps: 20, totalSteps: 80, minimumRatio: 0.1)
        // 0, 60, 90, 120 and 180 degrees.
        for (step, cosine) in [(20, 1.0), (40, 0.5), (50, 0), (60, -0.5), (80, -1)] {
            #expect(
                abs(schedule.rate(at: step) - (0.1 + 0.9 * (1 + cosine) / 2)) < 4 * 1.0.ulp, "step \(step)")
        }
        #expect(schedule.rate(at: 81) == schedule.rate(at: 80))
    }

    @Test func noStepIsWasted() {
        for shape in LearningRateSchedule.Shape.allCases {
            let schedule = LearningRateSchedule(shape: shape, peak: 1, warmupSteps: 3, totalSteps: 10)
            #expect((0..<10).allSatisfy { schedule.rate(at: $0) > 0 }, "\(shape)")
        }
    }
}
