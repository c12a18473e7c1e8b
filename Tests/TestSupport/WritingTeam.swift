import Foundation
import LigerModels

/// Threads that write files together: `member` makes one's view of the team.
package final class WritingTeam: @unchecked Sendable {
    // `state` is read and written under the condition's lock alone.
    private let condition = NSCondition()
    private let count: Int
    private var state = (paths: [String](), waiting: 0, meetings: 0, failure: (any Error)?.none)

    package init(_ count: Int) { self.count = count }

    package func member(_ number: Int) -> Member { Member(team: self, number: number) }

    /// Lets nobody wait for a member that does not come.
    package func fail(_ error: any Error) {
        condition.withLock { state.failure = state.failure ?? error }
        condition.broadcast()
    }

    private func wait(until isOver: () -> Bool) throws {
        while !isOver() {
            if let failure = state.failure { throw failure }
            condition.wait()
        }
    }

    package final class Member: FileTeam {
        private let team: WritingTeam
        private let number: Int
        private var files = 0

        fileprivate init(team: WritingTeam, number: Int) { (self.team, self.number) = (team, number) }

        package var isFirst: Bool { number == 0 }

        package func told(path: () -> String) throws -> String {
            try team.condition.withLock {
                if isFirst {
                    team.state.paths.append(path())
                    team.condition.broadcast()
                }
                files += 1
                try team.wait { team.state.paths.count >= files }
                return team.state.paths[files - 1]
            }
        }

        package func share(of elements: Range<Int>) -> Range<Int> { isFirst ? elements : 0..<0 }

        package func settle() throws {
            try team.condition.withLock {
                let meeting = team.state.meetings
                team.state.waiting += 1
                if team.state.waiting == team.count {
                    team.state.waiting = 0
                    team.state.meetings += 1
                    team.condition.broadcast()
                }
                try team.wait { team.state.meetings > meeting }
            }
        }
    }
}
