// The job, for a seed job of Job DSL that has this repository checked out: GIT_URL is where from.
pipelineJob('speedtest') {
    description('Builds the live image, and leads servers to it. Jenkinsfile says how.')
    logRotator {
        numToKeep(30)
    }
    // A declarative pipeline sets its parameters at its first run; without these that run could not be given any.
    parameters {
        stringParam('KERNELVERSION', '', 'as uname -r prints it; empty: the newest that the repositories have')
        stringParam('BRANCH', 'main', 'the git branch that is built, whose tree is live-BRANCH')
        stringParam('BUILD', '', 'the number of the build; empty: that of this job')
        choiceParam('EL', ['9', '10'], 'the release of EL that the image is made of')
    }
    definition {
        cpsScm {
            scm {
                git {
                    remote {
                        url(GIT_URL)
                    }
                    branch('${BRANCH}')
                }
            }
            scriptPath('Jenkinsfile')
            // A branch that is a parameter is known only where everything is checked out.
            lightweight(false)
        }
    }
}
